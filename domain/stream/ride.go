package stream

import (
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
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
	isDue   bool        // it is in Backfill.due

	end    domain.Cursor    // when it has got off: all up to it was given to it
	reason domain.GapReason // what it is told then; "" if it continues at end
}

// want makes the ride one for a target as well.
func (r *ride) want(m *membership) {
	m.rides = true
	r.on.wanted[m.target] = append(r.on.wanted[m.target], r)
}

// unwant notes that a ride is no longer for a target.
func (b *Backfill) unwant(t domain.Target, r *ride) {
	all := b.wanted[t]
	i := slices.Index(all, r)
	switch {
	case i < 0:
	case len(all) == 1:
		delete(b.wanted, t)
	default:
		last := len(all) - 1
		all[i], all[last] = all[last], nil
		b.wanted[t] = all[:last]
	}
}

// push stores a message for the rider.
func (r *ride) push(m *replayed) {
	s, b := r.of.stream, r.on
	if m.takers == 0 {
		s.store(m.size)
	}
	m.takers++
	r.queue = append(r.queue, m)
	r.stored += m.size
	s.store(slotSize)
	if !r.isDue {
		r.isDue = true
		b.due = append(b.due, r)
	}
	b.pressed = b.pressed || r.isTooMuch()
}

// isTooMuch reports whether more is stored than may be: for this rider, or for all.
func (r *ride) isTooMuch() bool {
	s := r.of.stream
	return s.cfg.Backlog.over(s.backlog.stored) || int64(riderShare*r.stored) > s.cfg.Backlog.most
}

// serve offers the riders what was stored for them.
func (b *Backfill) serve() {
	for b.serveSome() {
	}
}

// serveSome offers the riders some of the messages that were stored for them. It
// returns false when nothing is left to be offered.
func (b *Backfill) serveSome() (more bool) {
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	b.serveDue(maxOffers)
	return len(b.due) > 0
}

// serveDue offers about n of the messages that were stored for the riders.
func (b *Backfill) serveDue(n int) {
	for n > 0 && len(b.due) > 0 {
		r := b.due[0]
		b.due[0] = nil
		b.due = b.due[1:]
		r.isDue = false
		if n--; r.on == b {
			before := len(r.queue)
			r.serve()
			n -= before - len(r.queue)
		}
	}
	if len(b.due) == 0 {
		b.due, b.pressed, b.served = nil, false, b.of.cfg.Now()
	}
}

// serve offers the rider what is stored for it. If too much of that stays, the
// rider gets off; the last one stops the reading instead until it has taken what
// is there.
func (r *ride) serve() {
	if !r.of.held {
		r.of.takeStored()
	}
	for i := len(r.queue) - 1; i >= 0 && !r.queue[i].kept; i-- {
		r.queue[i].keep()
	}
	switch {
	case len(r.queue) == 0 || !r.isTooMuch():
	case len(r.on.riders) > 1:
		r.getOff(r.on.at, "")
	default:
		r.on.full = true
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
	case rides && m.expired(now):
		a.noteExpired(m.Cursor)
		if a.joining == nil {
			a.skip(m.message, m.Cursor)
		}
		return true
	case !rides || a.joining != nil && a.heard(m):
		return true
	case a.joining != nil:
		return a.send(m.encode(a.stream, a.enc, to, domain.Cursor{}), nil)
	}
	if !a.send(a.stream.frameOf(m, a.enc, to), a.stream.note(m.message, m.Cursor)) {
		return false
	}
	a.rode = true
	return true
}

// replayedTo returns the first of the message's targets that is the session's,
// and whether one of them is what it rides for. A room that was joined meanwhile
// is the session's from then on.
func (a *Attachment) replayedTo(m *replayed) (to domain.Target, rides bool) {
	if a.page != nil && a.page.all {
		return anybody, true
	}
	found := false
	for _, t := range m.message.To {
		for _, own := range a.members {
			if own.target != t || own.rides && own.since > 0 && !own.covers(m) {
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
		return own != a.joining && slices.Contains(m.message.To, own.target) && own.covers(m)
	})
}

// covers reports whether the message comes after the location from which on the
// session is offered what is for the target.
func (own *membership) covers(m *replayed) bool {
	if p, known := m.PositionIn(own.after.Log); known {
		return p > own.after.Position
	}
	// Without a position there, it came after that log had ended, or before it began.
	s := own.of.stream
	return s.generation(m.Log) > s.generation(own.after.Log)
}

// getOff ends the session's part in the reading, which has come to a place. With
// a reason, the log cannot be read on from there. A session whose cursor lies
// ahead still is at its cursor.
func (r *ride) getOff(place domain.Cursor, reason domain.GapReason) {
	if r.end = place; !r.boarded {
		r.end = r.of.since
	}
	r.end.Position = domain.Position(strings.Clone(string(r.end.Position))) // that of an entry keeps its batch alive
	r.reason = reason
	r.leave()
	switch {
	case !r.of.held:
		r.of.fill()
	case len(r.queue) == 0:
		r.finish()
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
