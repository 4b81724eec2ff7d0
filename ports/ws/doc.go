// Package ws serves sessions over WebSocket, on melody.
//
// # Shape
//
// A [Server] is an http.Handler. It reads the handshake, asks [session.Registry]
// for a session, takes the connection from the HTTP server, and lets melody serve
// it in a goroutine of its own, so that the HTTP server's goroutine and buffers are
// free. Who may connect, how many may, and when sessions end is decided by the
// Registry; this package makes the connections. Melody's own broadcast and filters
// are not used, since streams know their sessions.
//
// A session is one connection of one user. It is attached to one or more systems,
// which share its outbox.
//
// # Guarantees
//
//   - Frames leave in the order in which they were offered; hello comes before
//     everything else.
//   - Each session has at most one write in flight. What gathers meanwhile leaves
//     together: as one frame of several lines for fanfare.v1.json, as one socket
//     write of several frames for plain clients. So batches grow with the load, and
//     nothing waits for a batch to fill.
//   - An outbox is bounded in bytes and frames. When it is full, the session falls
//     back to catching up from its stream; nothing that was offered is lost. If its
//     writes make no progress for [Config.Stall], it is closed.
//   - A request that gets no session is answered with problem+json before the
//     upgrade. A session that is open ends with one of the close codes of package
//     session.
//   - A client's messages hold up its own session only, and that for no longer than
//     one publish ([Config.Publish]). No map grows with what clients send.
//
// bench_test.go measures the fan-out and what an idle session costs;
// session_test.go shows what a client sees.
package ws
