package stream

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// A Found is a place at which a message with a certain id is.
type Found struct {
	Cursor domain.Cursor
	// Message is what is there. It belongs to the caller.
	Message *domain.Message
	// LoggedAt is when the log took it; where the bus does not say, when this node did.
	LoggedAt time.Time
	// DuplicateOf is the place of the message that this one repeats, and because of
	// which it is delivered to nobody; zero if it repeats none that was found.
	DuplicateOf domain.Cursor
}

// lookAtOnce is how many entries of the window are looked at before others may have the
// stream's lock.
const lookAtOnce = 4096

// FindID returns the messages of the window that have an id, oldest first: more than one
// if they differ. Repetitions, expired messages and what cannot be decoded are not in a
// window. It looks at every entry, so it is not for the way of a message.
func (s *Stream) FindID(id string) (all []Found) {
	for from := uint64(0); ; {
		some, next, more := s.findSome(id, from)
		if all = append(all, some...); !more {
			return all
		}
		from = next
	}
}

// findSome looks at some entries from entry n on. It returns the one to go on with, if
// there are more.
func (s *Stream) findSome(id string, n uint64) (all []Found, next uint64, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.history.Next()
	n = max(n, s.history.First())
	next = min(end, n+lookAtOnce)
	for ; n < next; n++ {
		if e := s.history.At(n); e.IsMessage() && e.ID() == id {
			p := e.Point()
			all = append(all, Found{Cursor: p.Clone().Cursor, Message: e.Message(), LoggedAt: p.Time})
		}
	}
	return all, next, next < end
}

// Cursor returns the cursor up to which this node has seen everything. The result ok is
// false while the bus has not confirmed.
func (s *Stream) Cursor() (c domain.Cursor, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := s.history.Head().Clone()
	return head.Cursor, s.bus.confirmed
}

// WindowStart returns the cursor after which the window has everything.
func (s *Stream) WindowStart() domain.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.history.Start().Clone().Cursor
}

// PlaceOf returns the place of a message that was read from the log again, which is in
// the log. A message without an id gets the one that it has in the window. What is
// returned shares no memory with the entry.
func PlaceOf(log domain.LogID, e *domain.Entry, m *domain.Message, now time.Time) domain.Cursor {
	p := history.Point{Origins: origins(e)}
	p.Cursor = domain.Cursor{Log: log, Position: e.Position, Time: logTime(e.Time, now)}
	setID(m, &p)
	p.ID = domain.HashID(m.ID)
	return p.Clone().Cursor
}
