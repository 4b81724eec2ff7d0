// Package ws drives the domain over WebSocket, on melody.
//
// A session is one connection of one user, attached to one or more systems
// that share its outbox. What it promises:
//
//   - Order: frames leave in the order in which they were offered; hello comes
//     before everything else.
//   - One write in flight per session. What gathers meanwhile leaves together:
//     as one frame of lines for fanfare.v1.json, as one socket write of several
//     frames for plain clients. So batches grow with the load and never wait.
//   - Bounds: an outbox is bounded in bytes and frames. When it is full the
//     session falls back to catching up; nothing that was offered is lost. If
//     its writes make no progress for Config.Stall it is closed.
//   - Refusals come as problem+json before the upgrade; a session that is open
//     ends with one of the close codes of package session.
//   - Clients cannot stop a session's reading for longer than one publish, nor
//     grow any map without bound.
//   - Who may connect, how many may, and the end of all of them, is the
//     session.Registry's: this package makes its sessions' connections.
//
// The HTTP server's goroutine and buffers are released at the upgrade: the
// connection is hijacked here, and melody serves it in a goroutine of ours.
// Melody's own broadcast and filters are never used: streams know their
// sessions.
package ws
