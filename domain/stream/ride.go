package stream

import (
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// A ride is a session's part in a [Backfill]. The session rides along until the
// reading has come to the window, or until it cannot take what it is given as
// fast as the log is read. Then it gets off: it takes what is stored for it, and
// continues where it got off as with any other cursor.
//
// While it rides, the session is waiting: what comes live is for the time after.
type ride struct {
	of      *Attachment
	on      *Backfill   // nil when it has got off
	boarded bool        // the reading has come to its cursor
	mark    uint64      // of the newest message for it, by Backfill.count
	queue   []*replayed // what it has yet to take, in the log's order
	stored  int         // bytes of that

	end    domain.Cursor    // when it has got off: all up to it was given to it
	reason domain.GapReason // what it is told then; "" if it continues at end
}

// A replayed message was read from the log again. Its riders share it.
type replayed struct {
	history.Point
	message *domain.Message
	added   time.Time // when it was read
	takers  int       // riders that have it in their queues
	size    int       // bytes that it takes of the budget while it has takers
	frames  []sharedFrame
}

// replayedSize is what one takes beside its message and point, and slotSize what
// it takes in a queue.
const (
	replayedSize = 160
	slotSize     = 2 * wordSize
)

func (b *Backfill) newReplayed(e *domain.Entry, m *domain.Message, now time.Time) *replayed {
	p := history.Point{Origins: origins(e)}
	p.Cursor = domain.Cursor{Log: b.at.Log, Position: e.Position, Time: logTime(e.Time, now)}
	setID(m, &p)
	p.ID = domain.HashID(m.ID)
	setTime(m, p.Time)
	return &replayed{Point: p, message: m, added: now, size: m.Size() + p.Size() + replayedSize}
}

// expired is history.Entry.Expired for a message that was read again.
func (m *replayed) expired(now time.Time) bool {
	since := m.Time
	if since.After(m.added) {
		since = m.added
	}
	return m.message.Expired(since, now)
}

// give offers the rider a message, or stores it until the rider has room. When
// more is stored than may be, the rider gets off; the last one stops the reading
// instead until it has taken what is there.
func (r *ride) give(m *replayed, now time.Time) {
	a, b := r.of, r.on
	if len(r.queue) == 0 && !a.held && a.tellPending() && a.offerReplayed(m, now) {
		return
	}
	r.push(m)
	budget := a.stream.cfg.Backlog
	if !budget.over(a.stream.backlog.stored) && int64(riderShare*r.stored) <= budget.most {
		return
	}
	if len(b.riders) > 1 {
		r.getOff(b.at, "")
	} else {
		b.full = true
	}
}

// push stores a message for the rider.
func (r *ride) push(m *replayed) {
	if m.takers == 0 {
		m.detach()
		r.of.stream.store(m.size)
	}
	m.takers++
	r.queue = append(r.queue, m)
	r.stored += m.size
	r.of.stream.store(slotSize)
}

// detach copies what the message shares with others that were read with it: few
// of those may be for a rider.
func (m *replayed) detach() {
	m.message = m.message.Clone()
	m.Position = domain.Position(strings.Clone(string(m.Position)))
	m.Origins = slices.Clone(m.Origins)
	for i := range m.Origins {
		m.Origins[i].Position = domain.Position(strings.Clone(string(m.Origins[i].Position)))
	}
}

// pop forgets the oldest stored message, which the rider has taken or does not
// need.
func (r *ride) pop() {
	m := r.queue[0]
	r.queue[0] = nil
	r.queue = r.queue[1:]
	m.takers--
	r.stored -= m.size
	r.of.stream.store(-slotSize)
	if m.takers == 0 {
		r.of.stream.store(-m.size)
	}
}

// store charges the budget for n more bytes that riders have yet to take.
func (s *Stream) store(n int) {
	s.cfg.Backlog.add(n)
	s.backlog.stored += n
}

// takeStored offers a rider what is stored for it, until its outbox is full, and
// ends the ride when it has got off and all is taken.
func (a *Attachment) takeStored() {
	r := a.ride
	if !a.tellPending() {
		return
	}
	now := a.stream.cfg.Now()
	for len(r.queue) > 0 {
		if !a.offerReplayed(r.queue[0], now) {
			return
		}
		r.pop()
	}
	switch {
	case r.on == nil:
		r.finish()
	case r.on.full:
		r.on.full = false
		a.stream.backlog.poke()
	}
}

// offerReplayed offers a message that was read again, unless it is past its ttl
// or not for the session any more. It returns false if the outbox is full.
func (a *Attachment) offerReplayed(m *replayed, now time.Time) bool {
	to, rides := a.replayedTo(m)
	switch {
	case !rides || m.expired(now) || a.joining != nil && a.heard(m):
		return true
	case a.joining != nil:
		return a.send(a.enc.Message(a.stream.system, m.message, to, domain.Cursor{}))
	}
	if !a.send(a.stream.frameOf(m, a.enc, to)) {
		return false
	}
	a.rode = true
	return true
}

// replayedTo returns the first of the message's targets that is the session's,
// and whether one of them is what it rides for.
func (a *Attachment) replayedTo(m *replayed) (to domain.Target, rides bool) {
	found := false
	for _, t := range m.message.To {
		for _, own := range a.members {
			if own.target != t {
				continue
			}
			if !found {
				to, found = t, true
			}
			rides = rides || own.rides
		}
	}
	return to, rides
}

// heard reports whether a session that rides for a room alone was offered the
// message through another target.
func (a *Attachment) heard(m *replayed) bool {
	return slices.ContainsFunc(a.members, func(own *membership) bool {
		if own == a.joining || !slices.Contains(m.message.To, own.target) {
			return false
		}
		p, known := m.PositionIn(own.after.Log)
		return !known || p > own.after.Position // without a position there, it came after that log had ended
	})
}

// frameOf returns a message's frame for a target, which sessions of a room share.
func (s *Stream) frameOf(m *replayed, enc Encoder, to domain.Target) Frame {
	for i := range m.frames {
		if f := &m.frames[i]; f.to == to && f.by == enc {
			return f.Frame
		}
	}
	f := enc.Message(s.system, m.message, to, m.Cursor)
	if shared := to.Kind() == domain.KindRoom || to == domain.Everyone; shared && len(m.frames) < maxSharedFrames {
		m.frames = append(m.frames, sharedFrame{enc, to, f})
	}
	return f
}

// getOff ends the session's part in the reading, which has come to a place. With
// a reason, the log cannot be read on from there. A session whose cursor lies
// ahead still is at its cursor.
func (r *ride) getOff(place domain.Cursor, reason domain.GapReason) {
	if r.end = place; !r.boarded {
		r.end = r.of.since
	}
	r.reason = reason
	r.leave()
	if len(r.queue) > 0 {
		return
	}
	if r.finish(); !r.of.waiting {
		r.of.proceed()
	}
}

// leave takes the session out of the reading.
func (r *ride) leave() {
	b := r.on
	if b == nil {
		return
	}
	for _, m := range r.of.members {
		if m.rides {
			b.unwant(m.target, r)
		}
	}
	b.riders = slices.DeleteFunc(b.riders, func(a *Attachment) bool { return a == r.of })
	b.boarding = slices.DeleteFunc(b.boarding, func(other *ride) bool { return other == r })
	r.on = nil
}

// finish ends the ride of a session that has got off and taken everything. It
// continues where it got off.
func (r *ride) finish() {
	a := r.of
	a.ride, a.waiting = nil, false
	for _, m := range a.members {
		m.rides = false
	}
	if r.reason != "" {
		a.apply(a.stream.history.Refused(r.reason), r.end)
		return
	}
	a.resume(r.end)
}

// abandonRide ends the ride of a session that detaches.
func (a *Attachment) abandonRide() {
	r := a.ride
	if r == nil {
		return
	}
	b := r.on
	r.leave()
	for len(r.queue) > 0 {
		r.pop()
	}
	a.ride = nil
	if b != nil && len(b.riders) == 0 && b != a.stream.backlog.current {
		a.stream.dissolve(b)
	}
}
