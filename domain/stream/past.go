package stream

import (
	"strings"

	"github.com/fanfarebus/fanfare/domain"
)

// A Past is what there is to know of an attachment: from where to where the session was
// offered what is for it, and what was out of the ordinary. It holds places and no
// messages. A zero Past is none. It must not be changed, and may be read by many.
type Past struct {
	user, self domain.Target
	rooms      []stay // those that it hears, and the newest ones that it has left
	gaps       []crossing
	expired    []domain.Location

	// What is missing in these lists concerns places up to here: of rooms and gaps, and of expired.
	forgot, forgotLate domain.Location

	begin    domain.Location // it hears what comes after it
	cameWith bool            // begin is the client's cursor, unless there is a gap

	state string          // Live, Behind or Waiting; "" in the zero Past
	end   domain.Location // it was offered everything up to here
	open  bool            // but not the entry at end itself

	caught    domain.Location // as end, but for the room that it catches up with
	catching  domain.Target   // zero if there is none
	catchOpen bool

	ended bool
	last  domain.Location // when ended: where the stream was then

	unwritten domain.Location // when ended: the first message that was offered and not written
	unsure    bool            // when ended: some were not, and nobody can say which
}

// IsZero reports whether p is none.
func (p *Past) IsZero() bool { return p.state == "" }

// NoteUnwritten notes of a Past that has ended that a message was offered and not written,
// and neither was anything after it; without a cursor, that it is not known from where on.
func (p *Past) NoteUnwritten(first domain.Cursor) {
	if first.IsZero() {
		p.unsure = true
		return
	}
	p.unwritten = domain.Location{Log: first.Log, Position: first.Position}
}

// Past returns what there is to know of the attachment now.
func (a *Attachment) Past() Past {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	return a.past()
}

// past is [Attachment.Past]. The caller holds the stream's mu.
func (a *Attachment) past() Past {
	if a.detached {
		return Past{}
	}
	p := Past{cameWith: a.cameWith}
	for _, m := range a.members {
		switch m.target.Kind() {
		case domain.KindAll:
			p.begin = m.after
		case domain.KindUser:
			p.user = m.target
		case domain.KindSession:
			p.self = m.target
		default:
			p.rooms = append(p.rooms, stay{room: m.target, after: m.after})
		}
	}
	if t := a.trail; t != nil {
		p.rooms = append(p.rooms, t.left...)
		p.gaps = append(p.gaps, t.gaps...)
		p.expired = append(p.expired, t.expired...)
		p.forgot, p.forgotLate = t.forgot, t.forgotLate
	}
	p.take(a)
	p.end.Position = domain.Position(strings.Clone(string(p.end.Position)))
	p.caught.Position = domain.Position(strings.Clone(string(p.caught.Position)))
	return p
}

// take notes how far the session has come.
func (p *Past) take(a *Attachment) {
	s := a.stream
	switch {
	case a.live:
		p.state, p.end = Live, plainLocation(s.history.Head().Cursor)
	case a.waiting && a.joining == nil:
		p.state = Waiting
		p.end, p.open = a.waitsAt()
	case a.waiting:
		p.state, p.catching = Behind, a.joining.target
		p.caught, p.catchOpen = a.waitsAt()
		p.end, p.open = s.placeOf(a.othersNext, a)
	default:
		p.state = Behind
		p.end, p.open = s.placeOf(a.next, a)
		if m := a.catching(); m != nil {
			p.catching, p.caught, p.catchOpen = m.target, p.end, p.open
			p.end, p.open = s.placeOf(max(a.noticeAt, a.next), a)
		}
	}
}

// waitsAt returns up to where a session that waits was offered everything, and whether
// that is without the entry there.
func (a *Attachment) waitsAt() (at domain.Location, open bool) {
	switch r := a.ride; {
	case r == nil:
	case len(r.queue) > 0:
		return plainLocation(r.queue[0].Cursor), true
	case r.on == nil:
		return plainLocation(r.end), false
	case r.boarded:
		return plainLocation(r.on.place()), false
	}
	return plainLocation(a.since), false
}

// placeOf returns the place of entry n as the first one that a session was not offered. What
// the window has no more stands for where the session was held.
func (s *Stream) placeOf(n uint64, a *Attachment) (at domain.Location, open bool) {
	switch {
	case n >= s.history.Next():
		return plainLocation(s.history.Head().Cursor), false
	case n >= s.history.First():
		e := s.history.At(n)
		return plainLocation(e.Point().Cursor), true
	}
	return a.heldAt(), false
}

// plainLocation is locationOf without a copy.
func plainLocation(c domain.Cursor) domain.Location {
	return domain.Location{Log: c.Log, Position: c.Position}
}
