package stream

import (
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// fallBack makes a live session hold its place at entry n.
func (a *Attachment) fallBack(n uint64) {
	a.live, a.next = false, n
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
	if a.next < s.history.First() {
		a.beginAfterGap(domain.Overflow, s.history.First(), s.history.Start().Cursor)
	}
	if !a.tellPending() {
		return false
	}
	now := s.cfg.Now()
	for {
		n, found := a.following(a.next)
		if !a.notify(n, found) {
			return false
		}
		if !found {
			break
		}
		if !a.offer(n, now) {
			a.next = n
			return false
		}
		a.next = n + 1
	}
	a.next = s.history.Next()
	a.offered = a.next
	a.live = true
	return true
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
	case e.Message == nil && joins:
		return a.tell(e.Reason, domain.Cursor{})
	case e.Message == nil:
		return a.tell(e.Reason, e.Cursor)
	case e.Expired(now), joins && a.wasOffered(e, n):
		return true
	case joins:
		return a.send(a.enc.Message(s.system, e.Message, a.matched(e), domain.Cursor{}))
	}
	to := a.matched(e)
	// Nobody else wants what one user is offered again. If it were kept, ten
	// thousand users who come back would fill the window's budget with it.
	keep := to.Kind() == domain.KindRoom || to == domain.Everyone
	return a.send(s.frame(e, a.enc, to, keep))
}

// wasOffered reports whether the session was offered entry n through another
// target already.
func (a *Attachment) wasOffered(e *entry, n uint64) bool {
	for _, m := range a.members {
		if n >= m.offeredFrom && m.offeredFrom > 0 && slices.Contains(e.Payload.groups, m.group) {
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

// following returns the first entry from entry n on that is for the session.
func (a *Attachment) following(n uint64) (first uint64, found bool) {
	first, found = a.stream.history.NextGap(n)
	for _, m := range a.members {
		if k, ok := m.entries.From(max(n, m.since)); ok && (!found || k < first) {
			first, found = k, true
		}
	}
	return first, found
}

// matched returns the first of the entry's targets that is the session's.
func (a *Attachment) matched(e *entry) domain.Target {
	for _, g := range e.Payload.groups {
		for _, m := range a.members {
			if m.group == g {
				return g.target
			}
		}
	}
	return domain.Everyone
}

// send offers a message's frame. It returns false if the outbox is full.
func (a *Attachment) send(f Frame) bool {
	if f.Bytes == nil {
		return true
	}
	if !a.out.Offer(f) {
		return false
	}
	a.stream.stats.Offered++
	return true
}

// tell offers the notice of a gap. It returns false if the outbox is full.
func (a *Attachment) tell(reason domain.GapReason, at domain.Cursor) bool {
	f := a.enc.Gap(a.stream.system, reason, at)
	if f.Bytes != nil && !a.out.Offer(f) {
		return false
	}
	a.stream.stats.GapsTold[reason]++
	return true
}
