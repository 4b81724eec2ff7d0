package control

import "time"

// SessionsKind is the kind of the question which sessions a user has. Its body is a
// [SessionsOf], and that of the answer [Sessions].
const SessionsKind = "sessions"

// SessionsOf asks for the sessions of a user.
type SessionsOf struct {
	User string `json:"user"`
}

// Sessions are those of a user on one node, oldest first.
type Sessions struct {
	Sessions []SessionInfo `json:"sessions"`
	More     int           `json:"more,omitempty"` // sessions for which there was no room
}

// A SessionInfo is how a session is.
type SessionInfo struct {
	ID        string        `json:"id" doc:"As hello names it."`
	Node      string        `json:"node" doc:"The node that it is connected to."`
	Port      string        `json:"port" doc:"ws, sse or plain."`
	Address   string        `json:"address,omitempty" doc:"Of the client, as the proxies say it."`
	Connected time.Time     `json:"connected" doc:"By the clock of its node."`
	Expires   time.Time     `json:"expires,omitzero" doc:"When its token does."`
	Going     bool          `json:"going,omitempty" doc:"The client was asked to connect elsewhere."`
	Frames    int           `json:"pending_frames" doc:"That wait for the socket to take them."`
	Bytes     int           `json:"pending_bytes" doc:"Of those, and of what is being written."`
	Systems   []SystemState `json:"systems" doc:"How far it is in each of its systems."`
}

// A SystemState is a session's part in a system.
type SystemState struct {
	System string `json:"system" doc:"The business system."`
	State  string `json:"state" doc:"live; behind: the client is slow; waiting: for the log or the node."`
	Cursor string `json:"cursor,omitempty" doc:"The session was offered all up to there, or waits for it."`
	Gap    string `json:"gap,omitempty" doc:"The reason of the gap that the client will be told next."`
	// Rooms and Assigned are those that the client has joined, and those that the server
	// side has put the user into.
	Rooms    []string `json:"rooms,omitempty" doc:"That the client has joined."`
	Assigned []string `json:"assigned,omitempty" doc:"That the server has put the user into."`
	// More is how many rooms are left out.
	More int `json:"more_rooms,omitempty" doc:"So many rooms are left out."`
}
