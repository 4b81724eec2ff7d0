// Package api is the HTTP interface of a node: publishing, control, health, metrics, and
// the documentation of all that.
//
// # Guarantees
//
//   - A client that may not publish is told so before its body is read.
//   - A batch is checked as a whole before anything of it is published. Every fault is
//     answered with its location, such as [3].to[0].
//   - Messages without an id get a ULID. Every answer about messages that may have
//     reached the bus names their ids, so that publishing them again is safe.
//   - Errors are application/problem+json ([RFC 9457]).
//   - The memory for bodies of requests is bounded, for each API key and for all of
//     them, and so is the time that a client may take to send a body or to read an
//     answer ([Config]).
//
// # OpenAPI
//
// The health routes are served by huma. The publish route is only described to huma and
// served by a plain handler: it has to be fast, and what its body may contain is defined
// by package domain/envelope alone. The routes of the control plane stand in one table,
// from which they are served and described. Their bodies are read by package
// domain/jsontext, which is stricter than huma's reader.
//
// publish_test.go shows requests and their answers.
//
// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457
package api
