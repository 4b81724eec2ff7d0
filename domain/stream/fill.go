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

func (a *Attachment) fill() bool {
	s := a.stream
	if a.live || a.waiting || a.detached {
		return a.live
	}
	if a.next < s.window.base {
		a.owe(domain.Overflow, s.window.base, s.floor.Cursor)
	}
	if a.owed != "" {
		if !a.tell(a.owed, a.owedAt) {
			return false
		}
		a.owed = ""
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
		if !a.give(n, now) {
			a.next = n
			return false
		}
		a.next = n + 1
	}
	a.next = s.window.head
	a.offered = s.window.head
	a.live = true
	return true
}

// give offers entry n, unless it is past its ttl.
func (a *Attachment) give(n uint64, now time.Time) bool {
	s := a.stream
	e := s.window.at(n)
	joins := len(a.notice.Bytes) > 0 && n < a.noticeAt
	switch {
	case e.msg == nil && joins:
		return a.tell(e.reason, domain.Cursor{})
	case e.msg == nil:
		return a.tell(e.reason, e.Cursor)
	case e.expired(now), joins && a.heard(e, n):
		return true
	case joins:
		return a.send(a.enc.Message(s.system, e.msg, a.matched(e), domain.Cursor{}))
	}
	to := a.matched(e)
	// What one user is given again nobody else wants. If it were kept, ten
	// thousand who come back would fill the window's budget with it.
	keep := to.Kind() == domain.KindRoom || to == domain.Everyone
	return a.send(s.frame(e, a.enc, to, keep))
}

// heard says whether the session got entry n through another target already.
func (a *Attachment) heard(e *entry, n uint64) bool {
	for _, m := range a.members {
		if n >= m.heard && m.heard > 0 && slices.Contains(e.groups, m.group) {
			return true
		}
	}
	return false
}

// notify offers what JoinSince has promised, when entry n is not, or no entry
// is left, of what the target had before.
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

// following returns the first entry from n on that is for the session.
func (a *Attachment) following(n uint64) (first uint64, found bool) {
	first, found = a.stream.gaps.from(n)
	for _, m := range a.members {
		if k, ok := m.entries.from(max(n, m.since)); ok && (!found || k < first) {
			first, found = k, true
		}
	}
	return first, found
}

// matched returns the first of the entry's targets that is the session's.
func (a *Attachment) matched(e *entry) domain.Target {
	for _, g := range e.groups {
		for _, m := range a.members {
			if m.group == g {
				return g.target
			}
		}
	}
	return domain.Everyone
}

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

func (a *Attachment) tell(reason domain.GapReason, at domain.Cursor) bool {
	f := a.enc.Gap(a.stream.system, reason, at)
	if f.Bytes != nil && !a.out.Offer(f) {
		return false
	}
	a.stream.stats.Told[reason]++
	return true
}
