package stream

import (
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/trace"
)

// Fate says what became of a message for a session, of which the Past is of this stream's:
// an attachment that is there ([Attachment.Past]), or one that has ended
// ([Attachment.Detach]). The session was connected at one time, and has ended at the other,
// which is zero while it lasts. The reason is that of a gap.
//
// A message that a session was offered is [trace.Offered] while the session lasts: whether it
// was written, its outbox knows.
func (s *Stream) Fate(at *Place, p *Past, since, until time.Time) (trace.Fate, domain.GapReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, reason := s.fate(at, p, since, until)
	if f != trace.Offered && f != trace.Written {
		return f, reason
	}
	switch at.State {
	case trace.Poison:
		return trace.Undecoded, ""
	case trace.Duplicate:
		return trace.Repeated, ""
	case trace.Expired:
		return trace.Late, ""
	case trace.NotYet:
		return trace.NotRead, ""
	case trace.Gap:
		return trace.Lost, at.Reason
	case trace.Skipped, trace.Unknown:
		return trace.Uncertain, ""
	}
	if at.To == nil { // nobody knows whom it was for
		return trace.Uncertain, ""
	}
	return f, ""
}

// fate says what became of what is at a place for a session, if the stream made a message of
// it.
func (s *Stream) fate(at *Place, p *Past, since, until time.Time) (trace.Fate, domain.GapReason) {
	switch {
	case p.IsZero():
		return trace.Uncertain, ""
	case !at.known:
		return fateByTime(at, p, since, until), ""
	}
	via, addressed := s.heard(at, p)
	if g := s.crossed(at, p, via); g != nil && (addressed || via != domain.Target{}) {
		return trace.Lost, g.reason
	}
	known := p.forgot == (domain.Location{}) || s.isAfter(&at.at, p.forgot)
	switch {
	case via != domain.Target{} && !known, !addressed && roomsOf(at.To) && !known:
		return trace.Uncertain, ""
	case via != domain.Target{}:
		return s.offered(at, p, via, since), ""
	case addressed && p.ended && s.isAfter(&at.at, p.last):
		return trace.NotThere, ""
	case addressed && p.cameWith:
		return trace.Acked, ""
	case addressed:
		return trace.NotThere, ""
	case roomsOf(at.To):
		return trace.NotInRoom, ""
	}
	return trace.NotForIt, ""
}

// fateByTime is fate where the stream has no position for the message.
func fateByTime(at *Place, p *Past, since, until time.Time) trace.Fate {
	switch {
	case at.To != nil && !p.has(at.To):
		if roomsOf(at.To) {
			return trace.NotInRoom
		}
		return trace.NotForIt
	case at.State == trace.BeforeStart, at.LoggedAt.Before(since), !until.IsZero() && at.LoggedAt.After(until):
		return trace.NotThere
	}
	return trace.Offered
}

// has reports whether one of the targets is or was the session's.
func (p *Past) has(targets []domain.Target) bool {
	return slices.ContainsFunc(targets, func(t domain.Target) bool {
		return p.isOwn(t) || slices.ContainsFunc(p.rooms, func(r stay) bool { return r.room == t })
	})
}

// isOwn reports whether a session hears a target without joining anything.
func (p *Past) isOwn(t domain.Target) bool {
	return t == domain.Everyone || t == p.user || t == p.self
}

// heard returns the target through which a session heard what is at a place; zero if it did
// not. If so, addressed reports whether it would have at another time.
func (s *Stream) heard(at *Place, p *Past) (via domain.Target, addressed bool) {
	over := p.ended && s.isAfter(&at.at, p.last)
	if at.To == nil {
		if !over && s.isAfter(&at.at, p.begin) {
			via = domain.Everyone
		}
		return via, true
	}
	for _, t := range at.To {
		if p.isOwn(t) {
			addressed = true
			if !over && s.isAfter(&at.at, p.begin) {
				return t, true
			}
		}
		for i := range p.rooms {
			if r := &p.rooms[i]; r.room == t && !over && s.covers(r, at) {
				return t, true
			}
		}
	}
	return domain.Target{}, addressed
}

// covers reports whether the session was in the room when the message came.
func (s *Stream) covers(r *stay, at *Place) bool {
	return s.isAfter(&at.at, r.after) && (r.last == (domain.Location{}) || !s.isAfter(&at.at, r.last))
}

// crossed returns the gap that a session has met at a place, if there is one.
func (s *Stream) crossed(at *Place, p *Past, via domain.Target) *crossing {
	for i := len(p.gaps) - 1; i >= 0; i-- {
		g := &p.gaps[i]
		concerns := g.room == domain.Target{} || g.room == via ||
			via == domain.Target{} && slices.Contains(at.To, g.room)
		after := g.from == domain.Location{} || s.isAfter(&at.at, g.from)
		if concerns && after && !s.isAfter(&at.at, g.to) {
			return g
		}
	}
	return nil
}

// offered says what became of what is at a place for a session that heard it.
func (s *Stream) offered(at *Place, p *Past, via domain.Target, since time.Time) trace.Fate {
	end, open := p.end, p.open
	if via == p.catching {
		end, open = p.caught, p.catchOpen
	}
	came := !s.isAfter(&at.at, end)
	if position, known := at.at.PositionIn(end.Log); open && known && position == end.Position {
		came = false
	}
	switch {
	case !came && p.ended:
		return trace.EndedFirst
	case !came && p.state == Waiting:
		return trace.Waiting
	case !came && p.state == Live:
		return trace.Offered // the stream has not come to it
	case !came:
		return trace.Behind
	case s.wasLate(at, p, since):
		return trace.Late
	case at.TTL != 0 && p.forgotLate != domain.Location{} && !s.isAfter(&at.at, p.forgotLate):
		return trace.Uncertain
	case !p.ended:
		return trace.Offered
	case p.unwritten != domain.Location{} && !s.isBefore(at, p.unwritten):
		return trace.EndedFirst
	case p.unsure:
		return trace.Uncertain
	}
	return trace.Written
}

// wasLate reports whether the message was past its ttl when the session came to it.
func (s *Stream) wasLate(at *Place, p *Past, since time.Time) bool {
	if at.TTL == 0 {
		return false
	}
	if at.isOver(since) {
		return true
	}
	return slices.ContainsFunc(p.expired, func(l domain.Location) bool {
		position, known := at.at.PositionIn(l.Log)
		return known && position == l.Position
	})
}

// isBefore reports whether what is at a place comes before a location.
func (s *Stream) isBefore(at *Place, l domain.Location) bool {
	if position, known := at.at.PositionIn(l.Log); known {
		return position < l.Position
	}
	return !s.isAfter(&at.at, l)
}
