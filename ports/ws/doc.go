// Package ws serves sessions over WebSocket, on melody.
//
// # Shape
//
// A [Server] is an http.Handler. It reads the handshake, asks [session.Registry]
// for a session, takes the connection from the HTTP server, and answers the handshake
// itself: the answer, hello and what the client has missed leave in one write. Then
// melody serves the connection in a goroutine of its own, so that the HTTP server's
// goroutine and buffers are free. Who may connect, how many may, and when sessions end is decided by the
// Registry; this package makes the connections. Melody's own broadcast and filters
// are not used, since streams know their sessions.
//
// A session is one connection of one user. It is attached to one or more systems,
// which share its outbox.
//
// Melody reads from the connection. All that is written is written by this package: the
// answer to the handshake, messages, answers, pings, pongs and the close frame. Each session
// belongs to a shard. When something is put into an empty outbox, the session goes on
// its shard's list, and the shard's flusher, a goroutine that [Server.Run] owns, takes
// the whole list and writes to one session after the other, each time all that has
// gathered. It writes straight to the socket and never waits. What a socket does not
// take is written by a goroutine of the session's own, which ends when the client has
// read it all. So is everything on connections that are more than a socket, such as
// TLS.
//
// # Guarantees
//
//   - Frames leave in the order in which they were offered; hello comes before
//     everything else, and nothing comes after the close frame.
//   - A session has at most one write in flight. What gathers until it is written to
//     leaves together: as one frame of several lines for fanfare.v1.json, as one socket
//     write of several frames for plain clients. So batches grow with the load, and
//     nothing waits for a batch to fill.
//   - A client that does not read holds up no other session.
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
// session_test.go shows what a client sees, and flusher_test.go what slow and dead
// clients do to others.
package ws
