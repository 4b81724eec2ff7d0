package client

import (
	"context"
	"time"
)

// A Handler holds the functions that a [Client] calls. Each may be nil. They are
// called one at a time, in order, by the goroutine that called Run, and may block. If
// one returns an error, Run ends and returns that error. Their ctx ends with Run's.
//
// A function that calls Send, Join, Leave, Watch or Unwatch must pass on the ctx that it
// was given. The client then waits for the answer no longer than Config.Timeout: what the
// node sends before the answer waits for the Handler, and may not fit into the queue.
type Handler struct {
	// Message is called for each message. The function may keep it.
	Message func(ctx context.Context, m *Message) error
	// Gap is called where messages may be missing.
	Gap func(ctx context.Context, g *Gap) error
	// Hello is called when a session begins, before what the client missed. If no Lost came
	// before it, it has replaced a session that a node asked the client to leave.
	Hello func(ctx context.Context, h *Hello) error
	// Bus is called when the node has lost its bus, and when it has it again.
	Bus func(ctx context.Context, up bool) error
	// Left is called when the session was taken out of a room or system: when the user is
	// no longer a member of a room, when a new token no longer allows what the old one
	// allowed, and when a room could not be joined again on a new connection.
	Left func(ctx context.Context, l *Left) error
	// Joined is called when the server has put the session into a room, of which the user
	// is a member: on each connection after Hello, and when the membership begins.
	// The client need not join such a room, and cannot leave it.
	Joined func(ctx context.Context, j *Joined) error
	// Presence is called for places that are watched: see [Client.Watch].
	Presence func(ctx context.Context, p *Presence) error
	// Lost is called when a connection has ended or could not be made, and the client
	// will connect again.
	Lost func(ctx context.Context, l *Lost) error
	// Op is called for each op as it was received, also one that this client does not
	// know, before the function for its kind. Answers to calls such as Send are left
	// out. The function must not change the bytes.
	Op func(ctx context.Context, raw []byte) error
}

// A Message was published for this session.
type Message struct {
	System string
	ID     string
	// Cursor says "seen everything up to and with this message". It is empty where the
	// bus has no cursors, and for messages that a Join with a cursor brought.
	Cursor string
	// To is the first of the message's targets that matched, such as user:alice.
	To string
	// From is the user who sent the message; empty if a service published it.
	From string
	Type string
	// Time is zero if the message has no time that can be read.
	Time    time.Time
	Headers map[string]string
	// Receipt says that the publisher wants to know when the message was handled. The client
	// tells it once Handler.Message has returned without an error.
	Receipt bool
	// Data is what ContentType says: JSON, the text, or the bytes.
	Data        []byte
	ContentType string
}

// A Gap says that messages of a system may be missing here.
type Gap struct {
	System string
	// Reason is trimmed, lossy, overflow, too_far or unknown_cursor.
	Reason string
	// Cursor is where the messages after the gap begin; empty where the bus has no
	// cursors.
	Cursor string
	// After is how long to wait before fetching the state anew, so that not all
	// clients do so at once.
	After time.Duration
}

// A Hello is the first that a node sends in a session.
type Hello struct {
	Session string
	Node    string
	User    string
	Systems map[string]Place // by the system's name
}

// A Place is where a session begins in a system.
type Place struct {
	// Cursor is empty while the node does not know it.
	Cursor string
	// Resumed says that the session continues from the cursor that the client gave.
	Resumed bool
	// Last says whether all of the latest messages come that Config.Last asked for. It is
	// nil where nothing was asked for, and from a node that does not tell.
	Last *Coverage
}

// A Left names what the session was taken out of: a room or, if Room is empty, a
// system. The Reason is "server" if the user is no longer a member of the room, "token"
// if a new token does not allow it, or the code of the node's refusal.
type Left struct {
	System string
	Room   string
	Reason string
}

// A Joined names a room into which the server has put the session. By is "server".
type Joined struct {
	System string
	Room   string
	By     string
}

// A Presence says who is in a place that is watched, or what has changed there. A user
// with several sessions is there once. A user whose last session has ended is there for
// some seconds more, and so does not come and go with each lost connection.
type Presence struct {
	System string
	// Room is empty where the system itself is watched.
	Room string
	// Count is how many users are there.
	Count int
	// Users are all of them, sorted, if the node tells who they are: in the first
	// Presence on each connection, and whenever there were too many to name and now there
	// are not. Otherwise it is nil. It replaces what was known before.
	Users []string
	// Joined and Left name who came and who went since the last Presence. If they and Users
	// are nil, only Count is known from now on: there are too many users to name, or only
	// their number is watched.
	Joined []string
	Left   []string
	// Reason is set if the place is not watched any more: "token" if a new token does not
	// allow it or, if a new connection could not watch it again, the code of the node's
	// refusal, as in [OpError]. All of the above but System and Room is empty then.
	Reason string
}

// A Lost says why a connection ended, and when the client connects again.
type Lost struct {
	// Err is a *CloseError if the node closed the session, and a *Refusal if the
	// request for a connection was refused.
	Err error
	// Delay is how long the client waits before it connects again.
	Delay time.Duration
	// Failures counts the connections in a row that did not last.
	Failures int
}
