package domain

import (
	"context"
	"time"
)

// A Position is a place in one log. It is opaque but ordered: its byte order
// is the log's order, so < and > compare places in the same log. Empty means
// "none": the transport keeps no log, or (as a place to read from) the tail.
type Position string

// A LogID tells one log from another: a re-created stream is another log. Two
// nodes that read the same log know it by the same LogID. Zero is no log.
type LogID uint64

// EntryKind says what an Entry is.
type EntryKind uint8

const (
	// Record is something that was published: decodable or not.
	Record EntryKind = iota
	// Start says that the bus has confirmed a subscription at Position:
	// everything published after it will follow.
	Start
	// Break says that continuity ended before here and is not proven: the
	// entries that follow begin after Position, and what lies between is lost
	// for Reason.
	Break
	// Leave says that the bus is moved: the log ends here, and another goes on.
	// Who is not set up to follow hears no more of what others do.
	Leave
	// Arrive is where a log goes on for one that ended: Position is the place
	// here, and Also the place of the Leave there.
	Arrive
	// Note is an entry that is nobody's message.
	Note
)

// A Place is a position and the log that it is in.
type Place struct {
	Log      LogID
	Position Position
}

// An Entry is one thing that a bus carried, in the order in which it did. Who
// receives an Entry owns it and what it points to.
type Entry struct {
	Kind     EntryKind
	Position Position  // after a Record: the place to continue from
	Time     time.Time // when the log took it; zero if the bus does not say
	UUID     string    // the id in the bus's own framing, "" if it has none
	Header   []Field   // headers or fields beside the body, in their order
	Body     []byte
	Log      LogID     // Start, Break and Arrive: the log that follows
	Until    Position  // Start and Arrive: the tail when the subscription began; what lies up to it is history
	Next     LogID     // Start only: the log that will follow when the bus is moved; 0 if none is known
	Reason   GapReason // Break only
	Also     []Place   // where it was in the logs that it was copied from, the latest first
	Late     bool      // a copy made after the move: Also are no places to resume from
	Landmark Landmark  // Record on a bus without a log: what other nodes know the place by; 0 if they do not
}

// Place returns where the entry is in the log, which is its own or one that it
// was copied from.
func (e *Entry) Place(own, log LogID) (Position, bool) {
	if log == own {
		return e.Position, true
	}
	return PlaceIn(e.Also, log)
}

// PlaceIn returns the position of the place that is in the log.
func PlaceIn(places []Place, log LogID) (Position, bool) {
	for _, p := range places {
		if p.Log == log {
			return p.Position, true
		}
	}
	return "", false
}

// A Landmark names the place behind a Record on a bus that keeps no log, where
// positions are each node's own. Nodes that give two places the same Landmark
// mean the same Record, and neither has missed anything before it that the
// other has heard, but for what it has told as a Break. Zero is none.
type Landmark uint64

// A Field is one header or field of a Record.
type Field struct{ Name, Value string }

// WithEntries returns a context that carries a batch of entries. Transports
// use it to pass what one read returned as one Watermill message.
func WithEntries(ctx context.Context, batch []Entry) context.Context {
	return context.WithValue(ctx, entriesKey{}, batch)
}

// EntriesFrom returns the batch that WithEntries put there. The slice is the
// caller's.
func EntriesFrom(ctx context.Context) ([]Entry, bool) {
	batch, ok := ctx.Value(entriesKey{}).([]Entry)
	return batch, ok
}

type entriesKey struct{}

// A BreakError says that reading a log cannot go on where it stopped. What lies
// between is lost to this reader, for Reason.
type BreakError struct {
	Reason GapReason
	Detail string // for the log
}

func (e *BreakError) Error() string { return "continuity is not proven: " + e.Detail }

// A GapReason says why continuity could not be proven.
type GapReason string

const (
	// Trimmed: the log no longer holds what came after the cursor.
	Trimmed GapReason = "trimmed"
	// Lossy: a bus without a log was interrupted, or lost something.
	Lossy GapReason = "lossy"
	// Overflow: the session was too slow, and the window moved past it.
	Overflow GapReason = "overflow"
	// TooFar: catching up would take more reading than the node allows.
	TooFar GapReason = "too_far"
	// UnknownCursor: the cursor fits no place in this log.
	UnknownCursor GapReason = "unknown_cursor"
)
