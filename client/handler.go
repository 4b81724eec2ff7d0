package client

import (
	"context"
	"time"
)

// A Handler says what to do with what comes. Each function may be nil. They
// are called one at a time, in order, by the goroutine that called Run, and may
// block. The error of a function ends Run, which returns it. Their ctx ends with
// Run's. A function that calls Send, Join or Leave must pass that ctx on: the
// client then waits for the answer no longer than Config.Timeout, as what the
// node says before it may not fit into the queue.
type Handler struct {
	// Message is called with each message, which is the function's to keep.
	Message func(ctx context.Context, m *Message) error
	// Gap is called where messages may be missing.
	Gap func(ctx context.Context, g *Gap) error
	// Hello is called when there is a session; what was missed follows.
	Hello func(ctx context.Context, h *Hello) error
	// Bus is called when the node has lost its bus, or has it again.
	Bus func(ctx context.Context, up bool) error
	// Left is called when a new token lacks something that the old one had, and
	// when a room could not be joined again on a new connection.
	Left func(ctx context.Context, l *Left) error
	// Lost is called when a connection has ended, or could not be made, and the
	// client will come back.
	Lost func(ctx context.Context, l *Lost) error
	// Op is called with each op as it came, known or not, before the function
	// for its kind; answers to Send and the like are left out. The bytes must
	// not be changed.
	Op func(ctx context.Context, raw []byte) error
}

// A Message is one that was published for this session.
type Message struct {
	System string
	ID     string
	// Cursor is the place after the message; empty where the bus has none, and
	// in what a Join with a cursor replays.
	Cursor string
	// To is the first of the message's targets that matched, such as user:alice.
	To string
	// From is the user who sent it, where a user did.
	From string
	Type string
	// Time is zero if the message has none that can be read.
	Time    time.Time
	Headers map[string]string
	// Data is JSON, or the text or the bytes themselves, by ContentType.
	Data        []byte
	ContentType string
}

// A Gap is a place in a system where messages may be missing.
type Gap struct {
	System string
	// Reason is trimmed, lossy, overflow, too_far or unknown_cursor.
	Reason string
	// Cursor is the place after the gap; empty where the bus has none.
	Cursor string
	// After is how long to wait before fetching the state anew, so that not all
	// clients do so at once.
	After time.Duration
}

// A Hello begins a session.
type Hello struct {
	Session string
	Node    string
	User    string
	Systems map[string]Place // by name
}

// A Place is where a session begins in a system.
type Place struct {
	Cursor string // empty while the node cannot know
	// Resumed says that it goes on at the cursor that the client gave.
	Resumed bool
}

// A Left says what was left: a room or, without Room, a system. The Reason is
// "token", or the code of the node's refusal.
type Left struct {
	System string
	Room   string
	Reason string
}

// A Lost says why a connection ended, and what comes now.
type Lost struct {
	// Err is a *CloseError if the node closed the session, and a *Refusal if it
	// did not let the client in.
	Err error
	// Delay is how long the client waits before it comes back.
	Delay time.Duration
	// Failures counts the connections in a row that did not last.
	Failures int
}
