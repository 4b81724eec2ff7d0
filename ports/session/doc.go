// Package session is what the ports to clients have in common: who may open a
// session, which ones there are, and how the ops of fanfare.v1.json are
// written. It is no port itself: it knows requests, but neither WebSocket nor
// Server-Sent Events.
//
// A Registry judges requests, attaches sessions to the streams of their systems
// and holds them: their number on the node and per user is bounded there, for
// all ports together, and from there they are told of the bus, ended with
// their tokens, and drained. A port gives each session a Conn.
package session
