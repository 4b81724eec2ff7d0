package stream

import (
	"fmt"

	"github.com/fanfarebus/fanfare/domain"
)

// maxAwaited is how many ids of one system may be waited for at a time.
const maxAwaited = 1000

// An awaiting is a message that somebody waits for.
type awaiting struct {
	places chan domain.Cursor // has room for one
	number int                // who waits for it
}

// Await returns a channel that gets the place of the next message with an id that wants a
// receipt, or the zero Cursor if that is a repetition of one that has come before. It must be
// called before the message is published, and forget when nobody waits any more. Only one of
// several that wait for the same id gets the place. The error wraps [domain.ErrLimit] if too
// many messages are waited for.
func (s *Stream) Await(id string) (place <-chan domain.Cursor, forget func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.waitlist.messages[id]
	if w == nil {
		if len(s.waitlist.messages) >= maxAwaited {
			return nil, nil, fmt.Errorf("%d messages are waited for in system %s: %w",
				len(s.waitlist.messages), s.system, domain.ErrLimit)
		}
		if s.waitlist.messages == nil {
			s.waitlist.messages = make(map[string]*awaiting)
		}
		w = &awaiting{places: make(chan domain.Cursor, 1)}
		s.waitlist.messages[id] = w
	}
	w.number++
	return w.places, func() { s.forgetAwaited(id, w) }, nil
}

func (s *Stream) forgetAwaited(id string, w *awaiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.number--; w.number == 0 {
		delete(s.waitlist.messages, id)
	}
}

// arrived tells who waits for a message that it has come, and where.
func (s *Stream) arrived(m *domain.Message, at domain.Cursor) {
	if !m.Receipt || len(s.waitlist.messages) == 0 {
		return
	}
	w := s.waitlist.messages[m.ID]
	if w == nil {
		return
	}
	if !at.IsZero() {
		l := locationOf(at)
		at.Position = l.Position
	}
	select {
	case w.places <- at:
	default:
	}
}
