package stream

import (
	"math"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// A trail is what an attachment remembers of its way, beside where it is now: only what was
// out of the ordinary, and of that the newest. With it the fate of any message follows from
// where the message is, so that nothing has to be noted for each. See [Stream.Fate].
type trail struct {
	gaps    []crossing        // that the session was told, or will be; at most maxCrossings
	left    []stay            // rooms that it does not hear any more; at most maxLeftRooms
	expired []domain.Location // messages that were past their ttl when it came to them; at most maxExpired

	// What was dropped from these lists concerned places up to here.
	forgot     domain.Location // from gaps and left
	forgotLate domain.Location // from expired

	// Held is up to where the session had been offered everything when it fell behind, or
	// when a Fill found the outbox full: the position is in a buffer that is used again.
	heldLog      domain.LogID
	heldPosition []byte
}

const (
	maxCrossings = 8
	maxLeftRooms = 16
	maxExpired   = 16
)

// A crossing is a gap as one session has met it: what is after from, up to and including to,
// it was not offered. From is zero if nobody knows where the session was before.
type crossing struct {
	reason   domain.GapReason
	room     domain.Target // the room alone that it concerns, which was joined; zero for all targets
	from, to domain.Location
}

// A stay is the time that a session hears a room: what comes after one location, up to and
// including the other, which is zero while it lasts.
type stay struct {
	room        domain.Target
	after, last domain.Location
}

// A loss is a gap as the stream has met it: what is after from, up to and including to, it has
// not read. Where the bus has no positions, the times say the same.
type loss struct {
	reason       domain.GapReason
	from, to     domain.Location
	since, until time.Time // by this node's clock: when it had read from, and when it knew of the gap
}

const maxLosses = 64

// noteLoss notes that what is between the head and a point was lost.
func (s *Stream) noteLoss(reason domain.GapReason, p *history.Point, now time.Time) {
	head := s.history.Head()
	l := loss{reason: reason, from: locationOf(head.Cursor), to: locationOf(p.Cursor), until: now}
	l.since = head.Time
	s.bus.losses = keepNewest(s.bus.losses, maxLosses, l, func(old loss) { s.bus.forgot = old.to })
}

// way returns the attachment's trail, and makes it if there is none.
func (a *Attachment) way() *trail {
	if a.trail == nil {
		a.trail = &trail{}
	}
	return a.trail
}

// keepNewest appends to a list of which at most so many are kept. It calls forget with what
// had to make room.
func keepNewest[T any](list []T, most int, newest T, forget func(T)) []T {
	if len(list) >= most {
		forget(list[0])
		list = append(list[:0], list[1:]...)
	}
	return append(list, newest)
}

// noteGap notes that the session continues at a cursor, and that what is between that and
// where it was is not proven; with a membership, for this target alone. What was before a
// cursor that is unknown, nobody knows.
func (a *Attachment) noteGap(
	reason domain.GapReason, from domain.Location, of *membership, to domain.Cursor,
) {
	c := crossing{reason: reason, to: locationOf(to)}
	if of != nil {
		c.room = of.target
	}
	if reason != domain.UnknownCursor {
		c.from = domain.Location{Log: from.Log, Position: domain.Position(strings.Clone(string(from.Position)))}
	}
	t := a.way()
	t.gaps = keepNewest(t.gaps, maxCrossings, c, func(old crossing) { t.forget(old.to) })
}

// noteLeft notes that the session does not hear a room any more. What it was not offered
// until then, it will not be.
func (a *Attachment) noteLeft(m *membership) {
	last := a.stream.headLocation()
	switch {
	case a.live:
	case a.waiting:
		at, _ := a.waitsAt()
		last = locationOf(domain.Cursor{Log: at.Log, Position: at.Position})
	case a.next >= a.stream.history.First():
		last = locationOf(a.stream.history.LastBefore(a.next))
	default:
		last = a.heldAt()
	}
	t := a.way()
	t.left = keepNewest(t.left, maxLeftRooms, stay{m.target, m.after, last}, func(old stay) { t.forget(old.last) })
}

// forget notes that what concerns places up to a location is not in the lists any more.
func (t *trail) forget(upTo domain.Location) {
	if t.forgot.Log != upTo.Log || t.forgot.Position < upTo.Position {
		t.forgot = upTo
	}
}

// noteExpired notes that a message was past its ttl when the session came to it.
func (a *Attachment) noteExpired(c domain.Cursor) {
	t := a.way()
	t.expired = keepNewest(t.expired, maxExpired, locationOf(c), func(old domain.Location) { t.forgotLate = old })
}

// hold notes that the session has been offered everything before entry n, and nothing from
// there on.
func (a *Attachment) hold(n uint64) {
	at, t := a.stream.history.LastBefore(n), a.way()
	t.heldLog, t.heldPosition = at.Log, append(t.heldPosition[:0], at.Position...)
}

// heldAt returns what hold has noted last; zero if nothing.
func (a *Attachment) heldAt() domain.Location {
	if a.trail == nil {
		return domain.Location{}
	}
	return domain.Location{Log: a.trail.heldLog, Position: domain.Position(a.trail.heldPosition)}
}

// catching returns the membership in the target that the session has joined and that it is
// being filled for, while the others are further; nil if there is none.
func (a *Attachment) catching() *membership {
	for _, m := range a.members {
		if m.offeredFrom == math.MaxUint64 && len(a.notice.Bytes) > 0 {
			return m
		}
	}
	return nil
}
