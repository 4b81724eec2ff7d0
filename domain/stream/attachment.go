package stream

import (
	"math"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// An Attachment is one session's part in one Stream. Its methods may be called
// concurrently, but never from inside Offer.
//
// It is live, when Deliver offers it each entry at once; or behind, when it
// holds only its place in the window and is offered what it missed by Fill;
// or waiting, until the stream has got to where its cursor is, or the log has
// been read again from there. Whoever is
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
	first    uint64           // where it began
	offered  uint64           // 1 + the newest entry offered live
	since    domain.Cursor    // waiting: where it, or what is joining, says it is
	joining  *member          // waiting: the target for which it waits; nil: all of them
	back     uint64           // joining: where the other targets are
	until    time.Time        // waiting: for how long it is believed
	owed     domain.GapReason // to be told before anything else
	owedAt   domain.Cursor
	notice   Frame  // to be offered when what joined has caught up
	noticeAt uint64 // before this entry; those before it have no cursors
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
	a.next, a.first = s.window.head, s.window.head
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

// JoinSince is Join for a session that has heard the target before, up to
// since: it is offered first what it missed there, or told a gap, and then
// done. What it is offered until done has no cursors, as the session's own
// place is another. False means that the session itself waits for its place,
// or for another target's: try again later.
func (a *Attachment) JoinSince(t domain.Target, since domain.Cursor, done Frame) bool {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	if a.waiting || a.detached || len(a.notice.Bytes) > 0 {
		return false
	}
	a.back = a.next
	if a.live {
		a.back, a.live = a.stream.window.head, false
	}
	a.next = a.back
	a.notice, a.noticeAt = done, a.back
	if m := a.enter(t, a.stream.window.head); m != nil {
		for _, other := range a.members {
			if other != m {
				other.heard = max(other.since, a.first)
				other.since = max(other.since, a.back)
			}
		}
		m.heard = math.MaxUint64
		a.joining = m
		a.resume(since)
	}
	if !a.waiting && !a.held {
		a.fill()
	}
	return true
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

// enter makes the session a member of the target's group; nil if it is one.
func (a *Attachment) enter(t domain.Target, since uint64) *member {
	for _, m := range a.members {
		if m.target == t {
			return nil
		}
	}
	m := &member{of: a, since: since}
	a.stream.group(t).add(m)
	a.members = append(a.members, m)
	return m
}

func (a *Attachment) exit(m *member) {
	m.remove(m)
	a.stream.drop(m.group)
}

// resume puts the session, or what is joining, behind the place where it says
// it is. It returns where the session begins now, and whether that is there.
// If the place is not known yet, the session waits.
func (a *Attachment) resume(since domain.Cursor) (at domain.Cursor, resumed bool) {
	s := a.stream
	first, floor := s.origin()
	switch {
	case since.Log != s.tip.Log:
		return a.owe(s.unknown(), s.window.head, s.tip), false
	case s.lived.has(since.Position) && !s.holds(since, first):
		// The log has been there twice: once before it went back. All that is
		// certain is the gap where it did.
		if s.epochInWindow() {
			a.begin(s.epoch)
			return floor, false
		}
		return a.owe(domain.UnknownCursor, s.window.head, s.tip), false
	case since.Position == floor.Position && since.ID != 0 && s.epochInWindow():
		a.begin(s.epoch) // a message's place, from before the gap
		return since, false
	case since.Position > s.tip.Position:
		a.wait(since)
		return since, true
	case since.Position < floor.Position:
		if s.readAgain(a, since) {
			return since, true
		}
		return a.owe(domain.Trimmed, first, floor), false // the window is the most that can be given
	}
	n := s.window.after(first, since.Position)
	if n > first {
		floor = s.window.at(n - 1).at
	}
	if floor.Position == since.Position && floor.ID != since.ID && floor.ID != 0 && since.ID != 0 {
		return a.owe(domain.UnknownCursor, s.window.head, s.tip), false
	}
	a.begin(n)
	s.stats.Resumed++
	return since, true
}

// holds says whether the window has the very message at the cursor.
func (s *Stream) holds(since domain.Cursor, first uint64) bool {
	n := s.window.after(first, since.Position)
	if n == first || since.ID == 0 {
		return false
	}
	at := s.window.at(n - 1).at
	return at.Position == since.Position && at.ID == since.ID
}

// begin makes entry n the next one of the session, or of what is joining.
func (a *Attachment) begin(n uint64) {
	a.next = n
	if m := a.joining; m != nil {
		m.since, a.next, a.joining = n, min(n, a.back), nil
		return
	}
	a.first = n
}

// owe makes the session begin at entry n, behind at, and tells it a gap first.
func (a *Attachment) owe(reason domain.GapReason, n uint64, at domain.Cursor) domain.Cursor {
	if a.owed == "" { // else one that was not told yet stands for both
		a.owed, a.owedAt = reason, at
		if a.joining != nil {
			a.owedAt = domain.Cursor{} // the session's place is another
		}
	}
	a.begin(n)
	return at
}

// wait parks the session until the stream gets to where it is.
func (a *Attachment) wait(since domain.Cursor) {
	a.waiting, a.since = true, since
	a.until = time.Time{} // the wait counts from when the stream begins
	if a.stream.begun {
		a.until = a.stream.cfg.Now().Add(a.stream.cfg.AheadWait)
	}
	a.stream.waiting = append(a.stream.waiting, a)
}

// settle ends the wait if it can.
func (a *Attachment) settle(now time.Time) (settled bool) {
	s := a.stream
	if a.until.IsZero() {
		a.until = now.Add(s.cfg.AheadWait)
	}
	switch {
	case a.since.IsZero():
		// It attached before the bus had confirmed. What was published in
		// between is lost to it, and nobody can say whether there was any.
		a.owe(domain.Lossy, s.window.head, s.tip)
	case a.since.Log != s.tip.Log || a.since.Position <= s.tip.Position:
		a.waiting = false
		if a.resume(a.since); a.waiting {
			return true // for the log now
		}
	case now.After(a.until):
		a.owe(s.unknown(), s.window.head, s.tip)
	default:
		return false
	}
	a.goOn()
	return true
}

// goOn ends the wait.
func (a *Attachment) goOn() {
	a.waiting = false
	if !a.held {
		a.fill()
	}
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
	if s.epochInWindow() {
		return s.epoch + 1, s.window.at(s.epoch).at // at the epoch stands the gap
	}
	return s.window.base, s.floor
}

func (s *Stream) epochInWindow() bool { return s.epoch >= s.window.base && s.epoch < s.window.head }

// unknown is the reason given to a cursor that fits nowhere.
func (s *Stream) unknown() domain.GapReason {
	if s.cfg.HasLog {
		return domain.UnknownCursor
	}
	return domain.Lossy
}

func (s *Stream) forget(a *Attachment) {
	same := func(w *Attachment) bool { return w == a }
	s.waiting = slices.DeleteFunc(s.waiting, same)
	s.past.waiting = slices.DeleteFunc(s.past.waiting, same)
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
		return a.tell(e.reason, e.at)
	case e.msg.Expired(e.at.Time, now), joins && a.heard(e, n):
		return true
	case joins:
		return a.send(a.enc.Message(s.system, e.msg, a.matched(e), domain.Cursor{}))
	}
	return a.send(s.frame(e, a.enc, a.matched(e)))
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
