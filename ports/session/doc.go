// Package session admits and holds the sessions of a node, whatever protocol
// their clients speak. It is no port itself: it reads HTTP requests, but knows
// neither WebSocket nor Server-Sent Events. Packages ports/ws and ports/sse build
// on it.
//
// # The life of a session
//
// A port reads what its own protocol says into a [Protocol] and calls
// [Registry.Open]. Open checks the request (its origin, its token, its
// parameters, and what the token grants), makes a reservation, and attaches the
// session to the streams of its systems. The port makes a [Conn] and calls
// [Session.Begin], which says hello, adds the session to the registry, and lets the
// streams offer messages. When the connection is done, the port calls
// [Session.End], which detaches the session and releases its reservation.
//
// # Guarantees
//
//   - How many sessions there are, on the node and of each user, is bounded for
//     all ports together: see [Config].
//   - A client misses nothing that is published after it has its answer, because
//     its session is attached before.
//   - Requests are checked from cheap to expensive, and a client learns nothing
//     about systems and rooms before its token has been checked.
//   - A session ends when its token expires. One that hears nothing is still told,
//     every [Config.Idle], which cursor it can resume with.
//   - [Registry.Drain] spreads the end of all sessions over [Config.Drain]. Each client
//     is asked to go before, so that it can have its next session before this one ends.
//
// The ops that all clients of fanfare.v1.json are sent are encoded here:
// [V1Encoder] makes messages and gaps, and the functions whose names end in
// Notice make the rest. docs/protocol.md describes them.
//
// TestSessionsEndWithTheirTokens shows a session from Open to End.
package session
