// Package api is the HTTP face of a node: publishing, health, metrics and the
// documentation of all that.
//
//   - Who may not publish is told so before the body is read.
//   - A batch is checked as a whole before anything of it is published, and
//     every fault found is answered with its place, such as [3].to[0].
//   - Messages without an id get a ULID. Every answer to something that may
//     have reached the bus names the ids, so that retrying is safe.
//   - Errors are application/problem+json (RFC 9457).
//
// The publish route is described to OpenAPI and served by a plain handler,
// since it is the one that has to be fast and has a body that only package
// envelope may define.
package api
