package stream

import (
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// An Attachment is one session's part in one Stream. Its methods may be called
// concurrently, but never from inside Offer.
//
// It is live, when Deliver offers it each entry at once; or behind, when it
// holds only its place in the window and is offered what it missed by Fill;
// or waiting, until the stream has got to where its cursor is. Whoever is
// behind has either frames in its outbox or an owner about to call Fill: so
// it can not be forgotten.
type Attachment struct {
	stream *Stream
	out    Outbox
	enc    Encoder

	// Guarded by stream.mu.
	members  []*member
	live     bool
	held     bool // until the first Fill
	waiting  bool
	detached bool
	next     uint64           // behind: the first entry not yet offered
	offered  uint64           // 1 + the newest entry offered live
	since    domain.Cursor    // waiting: where it says it is
	until    time.Time        // waiting: for how long it is believed
	owed     domain.GapReason // to be told before anything else
	owedAt   domain.Cursor
}

// Attach registers a session for its targets, and for domain.Everyone. If
// since is not zero the session goes on behind that place; if it cannot, it
// will be told a gap. Nothing is offered before the first Fill.
//
// At is the cursor of the place where it begins: zero while the bus has not
// confirmed. Resumed says that since was honoured.
func (s *Stream) Attach(out Outbox, enc Encoder, since domain.Cursor, targets ...domain.Target) (a *Attachment, at domain.Cursor, resumed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a = &Attachment{stream: s, out: out, enc: enc, held: true, members: make([]*member, 0, len(targets)+1)}
	a.enter(domain.Everyone, 0)
	for _, t := range targets {
		a.enter(t, 0)
	}
	a.next = s.window.head
	if !s.begun {
		a.wait(since)
		return a, domain.Cursor{}, false
	}
	if since.IsZero() {
		return a, s.tip, false
	}
	at, resumed = a.resume(since)
	return a, at, resumed
}

// Fill offers what the session has not been offered yet, until the outbox is
// full or nothing is left: then the session is live, and Fill returns true.
func (a *Attachment) Fill() (live bool) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	a.held = false
	return a.fill()
}

// Join lets the session hear a target from now on.
func (a *Attachment) Join(t domain.Target) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	if !a.detached {
		a.enter(t, a.stream.window.head)
	}
}

// Leave ends what Join began.
func (a *Attachment) Leave(t domain.Target) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	for i, m := range a.members {
		if m.target == t && t != domain.Everyone {
			a.members = append(a.members[:i], a.members[i+1:]...)
			a.exit(m)
			return
		}
	}
}

// Cursor returns the place up to which the session has been offered all there
// was; ok is false while it is behind or the bus has not confirmed.
func (a *Attachment) Cursor() (c domain.Cursor, ok bool) {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	return a.stream.tip, a.live && a.stream.begun
}

// Detach ends the attachment; nothing is offered after it. It is idempotent.
func (a *Attachment) Detach() {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	if a.detached {
		return
	}
	a.detached, a.live = true, false
	for _, m := range a.members {
		a.exit(m)
	}
	a.members = nil
	if a.waiting {
		a.stream.forget(a)
	}
}

func (a *Attachment) enter(t domain.Target, since uint64) {
	for _, m := range a.members {
		if m.target == t {
			return
		}
	}
	m := &member{of: a, since: since}
	a.stream.group(t).add(m)
	a.members = append(a.members, m)
}

func (a *Attachment) exit(m *member) {
	m.remove(m)
	a.stream.drop(m.group)
}

// resume puts the session behind the place where it says it is, as far as the
// window knows it. It returns where the session begins now.
func (a *Attachment) resume(since domain.Cursor) (at domain.Cursor, resumed bool) {
	s := a.stream
	first, floor := s.origin()
	switch {
	case since.Log != s.tip.Log:
		return a.owe(s.unknown(), s.window.head, s.tip), false
	case since.Position > s.tip.Position:
		a.wait(since)
		return since, true
	case since.Position < floor.Position:
		// In the log, but before the window: what the window has is the most
		// that can be given.
		return a.owe(domain.Trimmed, first, floor), false
	}
	n := s.window.after(first, since.Position)
	if n > first && since.ID != 0 {
		if at := s.window.at(n - 1).at; at.Position == since.Position && at.ID != since.ID {
			return a.owe(domain.UnknownCursor, s.window.head, s.tip), false
		}
	}
	a.next = n
	s.stats.Resumed++
	return since, true
}

// owe makes the session begin at entry n, behind at, and tells it a gap first.
func (a *Attachment) owe(reason domain.GapReason, n uint64, at domain.Cursor) domain.Cursor {
	a.next, a.owed, a.owedAt = n, reason, at
	return at
}

// wait parks the session until the stream gets to where it is.
func (a *Attachment) wait(since domain.Cursor) {
	a.waiting, a.since = true, since
	a.until = a.stream.cfg.Now().Add(a.stream.cfg.AheadWait)
	a.stream.waiting = append(a.stream.waiting, a)
}

// settle ends the wait if it can.
func (a *Attachment) settle(now time.Time) (settled bool) {
	s := a.stream
	switch {
	case a.since.IsZero():
		// It attached before the bus had confirmed. What was published in
		// between is lost to it, and nobody can say whether there was any.
		a.owe(domain.Lossy, a.next, s.floor)
	case a.since.Log != s.tip.Log || a.since.Position <= s.tip.Position:
		a.resume(a.since)
	case now.After(a.until):
		a.owe(s.unknown(), s.window.head, s.tip)
	default:
		return false
	}
	a.waiting = false
	if !a.held {
		a.fill()
	}
	return true
}

// settleWaiting lets go on who waited for what is here now.
func (s *Stream) settleWaiting() {
	if len(s.waiting) == 0 || !s.begun {
		return
	}
	now := s.cfg.Now()
	s.waiting = slices.DeleteFunc(s.waiting, func(a *Attachment) bool { return a.settle(now) })
}

// origin returns the first entry that continues the current log without a
// question, and the place that it follows.
func (s *Stream) origin() (first uint64, floor domain.Cursor) {
	if s.epoch >= s.window.base && s.epoch < s.window.head {
		return s.epoch + 1, s.window.at(s.epoch).at // at the epoch stands the gap
	}
	return s.window.base, s.floor
}

// unknown is the reason given to a cursor that fits nowhere.
func (s *Stream) unknown() domain.GapReason {
	if s.cfg.HasLog {
		return domain.UnknownCursor
	}
	return domain.Lossy
}

func (s *Stream) forget(a *Attachment) {
	s.waiting = slices.DeleteFunc(s.waiting, func(w *Attachment) bool { return w == a })
}

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
		a.owe(domain.Overflow, s.window.base, s.floor)
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
		if !found {
			break
		}
		e := s.window.at(n)
		a.next = n
		switch {
		case e.msg == nil:
			if !a.tell(e.reason, e.at) {
				return false
			}
		case e.msg.Expired(e.at.Time, now):
		case !a.send(s.frame(e, a.enc, a.matched(e))):
			return false
		}
		a.next = n + 1
	}
	a.next = s.window.head
	a.offered = s.window.head
	a.live = true
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
	if len(f.Bytes) == 0 {
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
	if len(f.Bytes) > 0 && !a.out.Offer(f) {
		return false
	}
	a.stream.stats.Told[reason]++
	return true
}
