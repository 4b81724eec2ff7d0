package stream

import (
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// A Note says for which place a frame stands, where somebody wants to know what became of
// the message there. Sessions share it: nobody may change it.
type Note struct {
	System domain.System
	domain.Location
	// Skip says why what was for the session is not given to it: the reason of the gap that
	// the frame tells of, which ends at the location, or [Expired]. It is "" in the note of a
	// message.
	Skip string
}

// Expired is the Skip of a [Note] for a message that was past its ttl when its turn came.
const Expired = "expired"

// note returns the note of a message that wants a receipt, and nil for any other. A message
// without a cursor has none.
func (s *Stream) note(m *domain.Message, at domain.Cursor) *Note {
	if !m.Receipt || at.IsZero() {
		return nil
	}
	return &Note{System: s.system, Location: locationOf(at)}
}

// noteOf is note for a message in the window.
func (s *Stream) noteOf(e *history.Entry) *Note {
	if !e.WantsReceipt() {
		return nil
	}
	return &Note{System: s.system, Location: locationOf(e.Point().Cursor)}
}

// offerNoted offers a frame with its note. It returns false if the outbox is full.
func (a *Attachment) offerNoted(f Frame, n *Note) bool {
	if out, is := a.out.(Noter); is {
		return out.OfferNoted(f, n)
	}
	return f.Bytes == nil || a.out.Offer(f)
}

// skip notes that a session is not given a message that wants a receipt, since that is past
// its ttl.
func (a *Attachment) skip(m *domain.Message, at domain.Cursor) {
	if n := a.stream.note(m, at); n != nil && a.page == nil {
		n.Skip = Expired
		a.offerNoted(Frame{}, n)
	}
}

// skipExpired notes that the sessions for which a message is are not given it.
func (s *Stream) skipExpired(m *domain.Message, at domain.Cursor) {
	if !m.Receipt {
		return
	}
	for _, t := range m.To {
		if g := s.index.groups[t]; g != nil {
			for i := range g.members {
				g.members[i].of.skip(m, at)
			}
		}
	}
}

// passOver makes the session go past entry n, if that is past its ttl.
func (a *Attachment) passOver(e *history.Entry, now time.Time, withCursor bool) bool {
	if !e.Expired(now) {
		return false
	}
	a.noteExpired(e.Point().Cursor)
	if withCursor {
		m := &a.stream.frames.read
		p := e.Read(m)
		a.skip(m, p.Cursor)
	}
	return true
}

// Heard returns after which location the session has heard a target, and whether it hears it
// now. Exact is false if the session was given more, from a time when it did not hear it.
func (a *Attachment) Heard(t domain.Target) (after domain.Location, exact, is bool) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	for _, m := range a.members {
		if m.target == t {
			after = m.after
			after.Position = domain.Position(strings.Clone(string(after.Position)))
			return after, !m.replayed, true
		}
	}
	return domain.Location{}, false, false
}

// Head returns up to which location the stream has come, and whether the session has been
// offered all that was for it up to there.
func (a *Attachment) Head() (at domain.Location, live bool) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	return a.stream.headLocation(), a.live && a.stream.bus.confirmed
}
