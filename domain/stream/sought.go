package stream

import (
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
	"github.com/fanfarebus/fanfare/domain/trace"
)

// A Sought is a message whose fate is asked for, as whoever asks knows it.
type Sought struct {
	ID       string
	Cursor   domain.Cursor // where it is; of another node on a bus without a log
	LoggedAt time.Time
	To       []domain.Target // nil if it cannot be decoded, or is nowhere any more
	TTL      time.Duration
	Poison   bool
	// DuplicateOf is the place of the message that it repeats; zero for none.
	DuplicateOf domain.Cursor
}

// A Place is where a message that is sought is in this stream, and what the stream made of
// it.
type Place struct {
	Sought
	State  trace.State
	Reason domain.GapReason // of a gap
	// Sessions is how many of those that are attached now it was offered to.
	Sessions int

	at    history.Point // zero if this stream has no position for it
	known bool          // at is one
}

// Here returns the message's cursor in this stream; zero if it has none.
func (p *Place) Here() domain.Cursor {
	if !p.known {
		return domain.Cursor{}
	}
	return p.at.Cursor
}

// Began returns the cursor from which on the stream has read; zero while the bus has not
// confirmed.
func (s *Stream) Began() domain.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bus.began
}

// Locate finds a message, and says what the stream made of it. It may look at all of the
// window, and then does so in parts, between which others have the stream's lock.
func (s *Stream) Locate(q Sought) *Place {
	p := &Place{Sought: q}
	if s.place(p) {
		s.search(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.State == trace.Read && p.known {
		p.Sessions = s.countOffered(p)
	}
	return p
}

// place finds a message by its cursor. It returns true if the window has to be searched for
// its id.
func (s *Stream) place(p *Place) (search bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, head := p.Cursor, s.history.Head()
	if head.IsZero() {
		p.State = trace.NotYet
		return false
	}
	_, here := head.PositionIn(c.Log)
	here = here || s.generation(c.Log) >= 0
	if !s.cfg.HasLog && c.Log != head.Log || c.IsZero() {
		p.State = trace.Unknown
		return true
	}
	p.at, p.known = history.Point{Cursor: c}, here
	n, found, passed := s.history.EntryAt(c, s.cfg.Now)
	if found {
		e := s.history.At(n)
		at := e.Point()
		p.at, p.known, p.State, p.To = at.Clone(), true, trace.Read, e.Targets()
		return false
	}
	p.State, p.Reason = s.passedOver(p, passed)
	return p.State == trace.Skipped
}

// passedOver says what became of a place at which the window has no message: it is not in
// the window, or no message any more.
func (s *Stream) passedOver(p *Place, passed bool) (trace.State, domain.GapReason) {
	at := locationOf(s.history.Head().Cursor)
	switch {
	case !p.known:
		return trace.Unknown, ""
	case s.isAfter(&p.at, at):
		return trace.NotYet, ""
	case !s.isAfter(&p.at, locationOf(s.bus.began)):
		return trace.BeforeStart, ""
	}
	if l := s.lossAt(p); l != nil {
		return trace.Gap, l.reason
	}
	switch {
	case p.Poison:
		return trace.Poison, ""
	case !p.DuplicateOf.IsZero():
		return trace.Duplicate, ""
	case !passed && s.bus.forgot != domain.Location{} && !s.isAfter(&p.at, s.bus.forgot):
		return trace.Unknown, ""
	case !passed: // so long ago that the window has moved on
		return trace.Read, ""
	case p.isOver(s.cfg.Now()):
		return trace.Expired, ""
	}
	return trace.Skipped, ""
}

// lossAt returns the gap in which the stream has lost what is at a place, if there is one.
func (s *Stream) lossAt(p *Place) *loss {
	for i := len(s.bus.losses) - 1; i >= 0; i-- {
		l := &s.bus.losses[i]
		byPlace := p.known && s.isAfter(&p.at, l.from) && !s.isAfter(&p.at, l.to)
		byTime := !p.known && !p.LoggedAt.Before(l.since) && !p.LoggedAt.After(l.until)
		if byPlace || byTime {
			return l
		}
	}
	return nil
}

// search looks for a message by its id: on a bus without a log, where another node's cursor
// says nothing, or because it may be a repetition of another one.
func (s *Stream) search(p *Place) {
	found := s.FindID(p.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.State == trace.Skipped {
		for i := len(found) - 1; i >= 0; i-- {
			if s.isAfter(&p.at, plainLocation(found[i].Cursor)) {
				p.State, p.DuplicateOf = trace.Duplicate, found[i].Cursor
				return
			}
		}
		return
	}
	near := func(f Found) time.Duration { return f.LoggedAt.Sub(p.LoggedAt).Abs() }
	if len(found) > 0 {
		f := slices.MinFunc(found, func(a, b Found) int { return int(near(a) - near(b)) })
		p.at, p.known, p.State = history.Point{Cursor: f.Cursor}, true, trace.Read
		p.To = f.Message.To
		return
	}
	began := s.bus.began
	switch l := s.lossAt(p); {
	case l != nil:
		p.State, p.Reason = trace.Gap, l.reason
	case p.LoggedAt.IsZero():
	case p.LoggedAt.Before(began.Time):
		p.State = trace.BeforeStart
	}
}

// isOver reports whether the message's ttl is over.
func (p *Place) isOver(now time.Time) bool {
	m := domain.Message{TTL: p.TTL}
	return m.Expired(p.LoggedAt, now)
}

// isAfter reports whether an entry comes after a location. An entry that has no position
// there came after that log had ended, or before it began.
func (s *Stream) isAfter(p *history.Point, l domain.Location) bool {
	if at, known := p.PositionIn(l.Log); known {
		return at > l.Position
	}
	return s.generation(p.Log) > s.generation(l.Log)
}

// maxCounted is how many sessions countOffered looks at.
const maxCounted = 100_000

// countOffered counts the sessions that are attached and that were offered what is at a
// place. The caller holds mu.
func (s *Stream) countOffered(p *Place) (n int) {
	looked := 0
	for i, t := range p.To {
		g := s.index.groups[t]
		if g == nil || slices.Contains(p.To[:i], t) {
			continue
		}
		for _, m := range g.members {
			if looked++; looked > maxCounted {
				return n
			}
			a := m.of
			if a.live && s.isAfter(&p.at, m.after) && !a.heardThrough(p, p.To[:i]) {
				n++
			}
		}
	}
	return n
}

// heardThrough reports whether one of the targets is the session's, and was when the message
// came.
func (a *Attachment) heardThrough(p *Place, targets []domain.Target) bool {
	for _, m := range a.members {
		if slices.Contains(targets, m.target) && a.stream.isAfter(&p.at, m.after) {
			return true
		}
	}
	return false
}

// roomsOf reports whether some of the targets are rooms.
func roomsOf(targets []domain.Target) bool {
	return slices.ContainsFunc(targets, func(t domain.Target) bool {
		return strings.HasPrefix(t.String(), domain.KindRoom+":")
	})
}
