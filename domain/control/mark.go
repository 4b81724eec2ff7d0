package control

import "github.com/fanfarebus/fanfare/domain"

// A Mark says what a session was given of a system, and what its client has handled, as far
// as it concerns messages that want receipts. All its positions are in one log. It says
// something of each message, and its size does not depend on how many there were: what lies
// between two positions was given to the session, except what lies in one of Skips.
type Mark struct {
	Session string
	User    string
	System  domain.System
	// Node and Incarnation are those that the session is on, or was. The Machine sets them.
	Node, Incarnation string

	Log domain.LogID
	// From is the first position of which something is known. If the session was there
	// before, Blurred is set: what became of earlier messages is unknown.
	From    domain.Position
	Blurred bool

	// Offered, Written and Acked are the newest messages that were put into the session's
	// outbox, that were written to its connection, and up to which the client says that it
	// has handled everything; "" for none.
	Offered, Written, Acked domain.Position
	WrittenAt, AckedAt      int64 // when, in Unix milliseconds of the session's node

	Skips []Skip // as they came, at most MaxSkips

	Ended int64           // when the session ended, in Unix milliseconds; 0 if it has not
	Until domain.Position // up to where messages were for the session, once it has ended
}

// MaxSkips is how many of its newest Skips a [Mark] has.
const MaxSkips = 8

// A Skip is a part of the log of which a session was not given what was for it.
type Skip struct {
	From, UpTo domain.Position // the first and the last position of it
	// Reason is that of the gap that the client was told, or [SkipExpired].
	Reason string
}

// SkipExpired is the reason of a [Skip] for a message that was past its ttl when it could
// have been given to the session.
const SkipExpired = "expired"

// A Fate says what became of one message in one session.
type Fate string

// What may have become of a message.
const (
	FateNone    Fate = ""        // the session was not there then
	FateAcked   Fate = "acked"   // the client has handled it
	FateWritten Fate = "written" // it was written to the connection
	FatePending Fate = "pending" // it waits for the session, or in its outbox
	FateGap     Fate = "gap"     // the client was told a gap instead
	FateExpired Fate = "expired" // it was too old when its turn came
	FateEnded   Fate = "ended"   // the session ended before it was written
	FateUnknown Fate = "unknown"
)

// A Delivery says what became of one message in one session.
type Delivery struct {
	Mark   Mark
	Fate   Fate
	Reason string // of a gap
}

// Fate returns what became of the message at a location, if it was for the session, and the
// reason of a gap.
func (m *Mark) Fate(at domain.Location) (_ Fate, reason string) {
	p := at.Position
	switch {
	case at.Log != m.Log:
		return FateUnknown, ""
	case p < m.From && m.Blurred:
		return FateUnknown, ""
	case p < m.From, m.Ended != 0 && p > m.Until:
		return FateNone, ""
	}
	for _, s := range m.Skips {
		switch {
		case p < s.From || p > s.UpTo:
		case s.Reason == SkipExpired:
			return FateExpired, ""
		default:
			return FateGap, s.Reason
		}
	}
	switch {
	case p <= m.Acked:
		return FateAcked, ""
	case p <= m.Written:
		return FateWritten, ""
	case m.Ended != 0:
		return FateEnded, ""
	}
	return FatePending, ""
}

// Skip notes a Skip, which may come before the last one: a session that is behind learns at
// once that a message has expired when the stream came to it. When there are too many, the
// oldest is forgotten, and what became of what came before its end is unknown from then on.
func (m *Mark) Skip(s Skip) {
	if n := len(m.Skips); n > 0 {
		last := &m.Skips[n-1]
		if last.Reason == s.Reason && s.From <= After(last.UpTo) && last.From <= After(s.UpTo) {
			last.From, last.UpTo = min(last.From, s.From), max(last.UpTo, s.UpTo)
			return
		}
	}
	if len(m.Skips) == MaxSkips {
		m.From, m.Blurred = max(m.From, After(m.Skips[0].UpTo)), true
		m.Skips = append(m.Skips[:0], m.Skips[1:]...)
	}
	m.Skips = append(m.Skips, s)
}

// After returns the first position that comes after another one.
func After(p domain.Position) domain.Position { return p + "\x00" }
