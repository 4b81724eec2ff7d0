// Package publishers serves publish requests without net/http where that makes no
// difference but in cost. Of what a message to one user costs, net/http takes a
// fifth; docs/decisions/0040 has the figures.
//
// # What is served here
//
// net/http accepts every connection and reads its first request. If that is a simple
// publish, the [Server] takes the connection over and serves that request and the
// next ones, by the same handler. A request is simple if its head is of the few forms
// that every parser of HTTP reads alike, is there all at once, and announces a body of
// at most a few KiB; see [head]. The first request that is not simple goes back to
// net/http, with the connection and every byte that was read of it, and there the
// connection stays. So whatever is unusual in HTTP, or dangerous, is judged by
// net/http alone: chunked bodies, Expect, upgrades, ambiguous lengths, long headers,
// broken lines.
//
// # Guarantees
//
//   - Every request is answered by the handler that net/http would have called, with
//     the same request. Answers differ in the order of header lines alone, and in that
//     the last answer of a connection always says that it is.
//   - Times are bounded: a connection may wait for as long as net/http lets it for its
//     next request, bodies and answers have the deadlines that the handler sets, and an
//     answer has at most a second more.
//   - Memory is bounded: a connection has the buffer that net/http gave it, the heads of
//     its first and its last request, which are short, and one answer. It waits in the
//     queue that the ConnState of the http.Server keeps, and is closed when that says so.
//   - Shutdown closes connections that wait, and lets requests under way finish. Their
//     answers say that the connection closes.
//
// One thing is not as in net/http: the context of a request does not end when its
// client goes away, but only when the Server is closed. A publish is bounded by its own
// timeout.
package publishers
