package domain

import (
	"context"
	"time"
)

// A Position is a place in one log. It is opaque but ordered: its byte order
// is the log's order, so < and > compare positions in the same log. The empty
// Position means "none": either the transport keeps no log or, as a position
// to read from, the tail.
type Position string

// A LogID tells one log from another: a stream or topic that was deleted and
// created again is another log. Nodes that read the same log know it by the
// same LogID. Zero is no log.
type LogID uint64

// EntryKind says what an [Entry] is.
type EntryKind uint8

const (
	// Record is something that was published, whether it can be decoded or not.
	Record EntryKind = iota
	// Start says that the bus has confirmed a subscription at Position:
	// everything that is published after it will follow.
	Start
	// Gap says that continuity is not proven here: the entries that follow
	// begin after Position, and what lies between them and the entries before
	// is lost, for Reason.
	Gap
	// MovedAway is the last entry of a log whose bus was moved: another log
	// continues it. A node that is not configured with both buses receives
	// nothing that others publish from then on.
	MovedAway
	// MovedHere is the entry at which a log begins to continue another one:
	// Position is where that is in this log, and Origins is the location of
	// the MovedAway in the other.
	MovedHere
	// Control is an entry that is no message, such as a probe.
	Control
)

// A Location is a position together with the log that it is in.
type Location struct {
	Log      LogID
	Position Position
}

// An Entry is one thing that a bus carried, in the order in which it carried
// them. The receiver of an Entry owns it and what it points to.
type Entry struct {
	Kind     EntryKind
	Position Position  // of a Record: what to continue after
	Time     time.Time // when the log took it; zero if the bus does not say
	Read     time.Time // when this node read it, for how long that takes; zero if nobody said
	UUID     string    // the id in the bus's own framing, "" if it has none
	Header   []Field   // headers or fields beside the body, in their order
	Body     []byte
	Log      LogID     // of a Start, Gap or MovedHere: the log that follows
	Tail     Position  // of a Start or MovedHere: the log's tail when the subscription began
	Next     LogID     // of a Start: the log that follows when the bus is moved; 0 if none is known
	Reason   GapReason // of a Gap

	// Origins are the locations that the entry was copied from, newest first.
	Origins []Location
	// Late marks a copy that was made after the move. No session can resume
	// from its Origins, as the log also holds messages that were published to it
	// directly.
	Late bool
	// Fingerprint is set on a Record of a bus without a log; 0 if other nodes
	// cannot find the position after this record.
	Fingerprint Fingerprint
}

// PositionIn returns the entry's position in a log, which is either its own or
// one that it was copied from.
func (e *Entry) PositionIn(own, log LogID) (Position, bool) {
	if log == own {
		return e.Position, true
	}
	return PositionIn(e.Origins, log)
}

// PositionIn returns the position of the location that is in the log.
func PositionIn(locations []Location, log LogID) (Position, bool) {
	for _, l := range locations {
		if l.Log == log {
			return l.Position, true
		}
	}
	return "", false
}

// A Fingerprint identifies the position right after a [Record] on a bus that
// keeps no log, where positions are each node's own. Two nodes that computed
// the same Fingerprint have received the same record, and neither has missed
// anything before it that the other has received, except what it announced as
// a [Gap]. Zero is no fingerprint.
type Fingerprint uint64

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

// A GapError says that reading cannot continue where it stopped. What lies
// between is lost to this reader, for Reason.
type GapError struct {
	Reason GapReason
	Detail string // for the log
}

func (e *GapError) Error() string { return "continuity is not proven: " + e.Detail }

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
	// UnknownCursor: the cursor fits no position in this log.
	UnknownCursor GapReason = "unknown_cursor"
)
