// Package sse serves sessions over Server-Sent Events: the same sessions and the same
// ops as fanfare.v1.json over WebSocket, for clients that only listen. The format is
// that of the [HTML standard].
//
// # Shape
//
// A [Server] is an http.Handler. A session lasts as long as its request, and the
// request's goroutine writes all its events. The data of each event is one op. Who may
// connect, and when sessions end, is decided by [session.Registry].
//
// # Guarantees
//
//   - Events leave in the order in which they were offered; hello comes first.
//   - Each session has at most one write in flight. What gathers meanwhile leaves
//     together.
//   - An outbox is bounded in bytes and frames. When it is full, the session falls
//     back to catching up from its stream; nothing that was offered is lost. If its
//     writes make no progress for [Config.Stall], it is ended.
//
// # Resuming
//
// The id of an event is the resume string of all of the session's systems: the cursor
// of each, as it is once the client has received the event. So an EventSource, which
// sends the last id when it comes back, resumes by itself, and nothing is lost or
// repeated. A session that hears nothing is sent, now and then, an event with an id
// and without data: an EventSource keeps its id and dispatches nothing. Clients that
// make a new EventSource each time do not see such ids; with ?cursors=1 they get cursor
// ops instead.
//
// # The end of a stream
//
// When the node drains, goaway comes some seconds before the end, for clients that can
// open their next stream meanwhile. The last event is close, with a code. An
// EventSource comes back by itself. Where it must not (its user is blocked, or its
// session was disconnected for good or replaced by a newer one), the last id carries a
// mark, and a client that comes back with the mark is answered 204, by which the
// standard stops an EventSource. Any other answer but an event stream would stop it,
// too, so a client that may be let in later is answered with a stream that tells it
// when to come back.
//
// # Proxies that hold back
//
// The node cannot see whether a proxy holds back what it should pass on. A client can:
// hello is sent at once, so a client that has none a few seconds after its request is
// behind such a proxy. With ?pad=1, 2 KiB of comment follow hello, which is enough for
// proxies that wait until they have a block. Nothing helps against those that wait for
// the end. The answer carries the customary X-Accel-Buffering: no, and forbids
// transformation, since compression holds back, too.
//
// session_test.go shows what a client sees.
//
// [HTML standard]: https://html.spec.whatwg.org/multipage/server-sent-events.html
package sse
