package stream

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// fallBack makes a live session hold its place at entry n.
func (a *Attachment) fallBack(n uint64) {
	a.live, a.next = false, n
	a.hold(n)
	a.stream.stats.FellBack++
}

// fill is [Attachment.Fill], but for sessions that are held.
func (a *Attachment) fill() (live bool) {
	s := a.stream
	if a.ride != nil {
		a.takeStored()
	}
	if a.live || a.waiting || a.detached {
		return a.live
	}
	a.goToWindow()
	if !a.tellPending() {
		return false
	}
	defer s.frames.forgetRead()
	now := s.cfg.Now()
	for _, m := range a.members {
		m.seek(a.next)
	}
	for {
		n, found := a.following()
		if !a.notify(n, found) {
			return false
		}
		if !found {
			break
		}
		if !a.offer(n, now) {
			a.next = n
			a.hold(n)
			return false
		}
		a.pass(n)
	}
	a.next = s.history.Next()
	a.offered = a.next
	if a.page != nil {
		a.page.live()
		return true
	}
	a.live = true
	return true
}

// goToWindow makes a session go on at the start of the window, if that has moved past
// it.
func (a *Attachment) goToWindow() {
	s := a.stream
	switch first := s.history.First(); {
	case a.next >= first:
	case len(a.notice.Bytes) > 0 && first <= a.noticeAt: // the joined target alone was overtaken
		if a.next = first; a.pendingGap == "" {
			a.pendingGap, a.pendingGapAt = domain.Overflow, domain.Cursor{}
		}
		a.noteGap(domain.Overflow, a.heldAt(), a.catching(), s.history.Start().Cursor)
	default:
		a.beginAfterGap(domain.Overflow, a.heldAt(), first, s.history.Start().Cursor)
	}
}

// tellPending tells the session the gap that it is to be told before anything
// else, if there is one. It returns false if the outbox is full.
func (a *Attachment) tellPending() bool {
	if a.pendingGap != "" && !a.tell(a.pendingGap, a.pendingGapAt) {
		return false
	}
	a.pendingGap = ""
	return true
}

// offer offers entry n, unless it is past its ttl. It returns false if the
// outbox is full.
func (a *Attachment) offer(n uint64, now time.Time) bool {
	s := a.stream
	e := s.history.At(n)
	joins := len(a.notice.Bytes) > 0 && n < a.noticeAt
	switch {
	case !e.IsMessage() && joins:
		return a.tell(e.Reason(), domain.Cursor{})
	case !e.IsMessage():
		return a.tell(e.Reason(), e.Point().Cursor)
	case a.passOver(&e, now, !joins), joins && a.wasOffered(n):
		return true
	case joins:
		return a.send(s.encode(&e, a.enc, a.matched(n), false), nil)
	}
	if a.page != nil { // nobody shares its frames
		return a.send(s.encodeForPage(&e, a.enc, a.matched(n)), nil)
	}
	return a.send(s.frameAgain(n, &e, a.enc, a.matched(n)), s.noteOf(&e))
}

// wasOffered reports whether the session was offered entry n through another
// target already.
func (a *Attachment) wasOffered(n uint64) bool {
	for _, m := range a.members {
		if m.offeredFrom == 0 || n < m.offeredFrom {
			continue
		}
		if _, is := a.stream.history.PlaceOf(m.target, n); is {
			return true
		}
	}
	return false
}

// notify offers the notice that JoinSince was given, once no entry before
// noticeAt is left for the session: n is its next entry, if one was found. It
// returns false if the outbox is full.
func (a *Attachment) notify(n uint64, found bool) bool {
	if len(a.notice.Bytes) == 0 || found && n < a.noticeAt {
		return true
	}
	if !a.out.Offer(a.notice) {
		return false
	}
	a.notice = Frame{}
	return true
}

// seek finds the first entry from entry n on that is for the session through
// this membership.
func (m *membership) seek(n uint64) {
	h := &m.of.stream.history
	k, found := uint64(0), false
	if m.target == anybody {
		k, found = h.NextMessage(n)
	} else {
		k, found = h.NextFor(m.target, max(n, m.since), &m.near)
	}
	if m.ahead = k; !found {
		m.ahead = nothingAhead
	}
}

// following returns the first entry from entry a.next on that is for the session.
func (a *Attachment) following() (first uint64, found bool) {
	if first, found = a.stream.history.NextGap(a.next); !found {
		first = nothingAhead
	}
	for _, m := range a.members {
		first = min(first, m.ahead)
	}
	return first, first != nothingAhead
}

// pass makes the session go past entry n.
func (a *Attachment) pass(n uint64) {
	a.next = n + 1
	for _, m := range a.members {
		if m.ahead == n {
			m.seek(n + 1)
		}
	}
}

// matched returns the target through which the session is offered entry n: of
// several, the first of the entry's.
func (a *Attachment) matched(n uint64) domain.Target {
	var first *membership
	for _, m := range a.members {
		if m.ahead == n && (first == nil || m.placeIn(n) < first.placeIn(n)) {
			first = m
		}
	}
	return first.target
}

func (m *membership) placeIn(n uint64) int {
	place, _ := m.of.stream.history.PlaceOf(m.target, n)
	return place
}

// send offers a message's frame, with its note if it has one. It returns false if the outbox
// is full.
func (a *Attachment) send(f Frame, n *Note) bool {
	switch {
	case f.Bytes == nil:
		return true
	case n != nil:
		if !a.offerNoted(f, n) {
			return false
		}
	case !a.out.Offer(f):
		return false
	}
	if a.page == nil {
		a.stream.stats.Offered++
	}
	return true
}

// tell offers the notice of a gap. It returns false if the outbox is full.
func (a *Attachment) tell(reason domain.GapReason, at domain.Cursor) bool {
	f := a.enc.Gap(a.stream.system, reason, at)
	switch {
	case !at.IsZero() && a.page == nil:
		if !a.offerNoted(f, &Note{System: a.stream.system, Location: locationOf(at), Skip: string(reason)}) {
			return false
		}
	case f.Bytes != nil && !a.out.Offer(f):
		return false
	}
	if a.page == nil {
		a.stream.stats.GapsTold[reason]++
	}
	return true
}
