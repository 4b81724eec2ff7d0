package stream

import "github.com/fanfarebus/fanfare/domain"

// How far an attachment is: see [Attachment].
const (
	Live    = "live"
	Behind  = "behind"
	Waiting = "waiting"
)

// A State is how far an attachment is.
type State struct {
	Name string // Live, Behind or Waiting
	// Cursor is up to where the session was offered all there was; zero if it is not known.
	// Of a session that waits it is what the session waits for.
	Cursor domain.Cursor
	// Gap is why the session will be told a gap before anything else; "" for none.
	Gap domain.GapReason
}

// State returns how far the attachment is.
func (a *Attachment) State() State {
	s := a.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	state := State{Name: Behind, Gap: a.pendingGap}
	switch {
	case a.waiting:
		state.Name, state.Cursor = Waiting, a.since
	case a.live:
		state.Name = Live
		if s.bus.confirmed {
			state.Cursor = s.history.Head().Cursor
		}
	default:
		state.Cursor = s.cursorBefore(a.next)
	}
	return state
}

// cursorBefore returns the cursor of the entry before entry n, or of what is before the
// window if that has moved past it.
func (s *Stream) cursorBefore(n uint64) domain.Cursor {
	switch {
	case n <= s.history.First():
		return s.history.Start().Cursor
	case n >= s.history.Next():
		return s.history.Head().Cursor
	}
	e := s.history.At(n - 1)
	return e.Point().Cursor
}
