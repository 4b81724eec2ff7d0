package stream

import (
	"cmp"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A past is what a stream has of the log from before its window: the window
// is made longer at its old end, for a while, and those who waited for it go
// on as if it had always been so. One reader serves all who wait.
type past struct {
	wake    chan struct{} // holds one token while there may be something to read
	waiting []*Attachment // for the log to be read again from their cursors
	reading *Backfill     // under way; the window is not trimmed meanwhile
	lost    []*Attachment // for a place in another log to be found in this one
	looking bool          // a Lookup is under way
	until   uint64        // entries before this number were read again
	keep    time.Time     // until when they are kept
	holds   bool          // the budget knows that there are such entries
	asker   Asker         // for whom they were read last

	origins  []domain.LogID // the logs of which the present one is known to have copies
	surveyed bool           // there are no others
	refused  refusals       // places that were asked for in vain
	cut      cut            // and what the log no longer leads on from
}

// A cut is a place in the log at or before which nobody can resume, for a while.
type cut struct {
	log    domain.LogID
	at     domain.Position
	reason domain.GapReason
	until  time.Time
}

func (c *cut) covers(place domain.Cursor, now time.Time) bool {
	return place.Log == c.log && place.Position <= c.at && now.Before(c.until)
}

// forgetLog is for when another log begins, or the same one anew.
func (p *past) forgetLog() {
	p.origins, p.surveyed = nil, false
	p.forgetRefusals()
}

func (p *past) forgetRefusals() { p.refused, p.cut = refusals{}, cut{} }

func (p *past) pokeIf(more bool) {
	if more {
		p.poke()
	}
}

func (p *past) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// mustKeep says whether the window must not be trimmed now, for the sake of those
// who are about to read its old end.
func (p *past) mustKeep(s *Stream, now time.Time) bool {
	if s.window.len() > 2*s.cfg.Messages+s.cfg.MaxScan || s.cfg.Budget.farOver() {
		return false
	}
	return p.reading != nil || s.window.base < p.until && now.Before(p.keep)
}

// spent says whether the oldest entry is one that was read again and has been
// kept long enough.
func (p *past) spent(s *Stream) bool { return s.window.base < p.until }

// Wake receives when NextBackfill may have something to do. Who feeds the
// stream serves it, if Config.Past is set.
func (s *Stream) Wake() <-chan struct{} { return s.past.wake }

// canReadAgain says whether the window may be made longer at its old end by what
// the log of the cursor has.
func (s *Stream) canReadAgain(since domain.Cursor) bool {
	return s.cfg.Past != nil && s.cfg.HasLog && !s.epochInWindow() && since.Log == s.floor.Log
}

// readAgain parks a session until the log has been read from its cursor; or it
// says why that is not done.
func (s *Stream) readAgain(a *Attachment, since domain.Cursor) (refused domain.GapReason) {
	now := s.cfg.Now()
	switch {
	case s.past.refused.has(placeKey(since), now):
		return domain.UnknownCursor
	case s.past.cut.covers(since, now):
		return s.past.cut.reason
	case s.cfg.Reads.over(a.asker):
		return domain.TooFar
	}
	a.waiting, a.since = true, since
	s.past.waiting = append(s.past.waiting, a)
	s.past.poke()
	return ""
}

// placeKey is what a place that is none is known by.
func placeKey(c domain.Cursor) domain.Cursor { return domain.Cursor{Log: c.Log, Position: c.Position} }

// oweRefused tells the session why the log is not read for it, and gives it what
// the window has, if its place may be before that.
func (a *Attachment) oweRefused(reason domain.GapReason) domain.Cursor {
	s := a.stream
	if reason == domain.UnknownCursor {
		return a.owe(reason, s.window.head, s.tip.Cursor)
	}
	return a.owe(reason, s.window.base, s.floor.Cursor)
}

// NextBackfill returns what is to be read again, if anything. There is one
// Backfill at a time. It begins where that session is whose turn it is; those
// between there and the window share it.
func (s *Stream) NextBackfill() (*Backfill, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.past.reading != nil || !s.begun {
		return nil, false
	}
	s.sortPast()
	if len(s.past.waiting) == 0 {
		return nil, false
	}
	lead, _ := s.cfg.Reads.lightest(s.past.waiting, nobody)
	since := lead.since
	b := &Backfill{
		lead:  lead,
		After: domain.Cursor{Log: since.Log, Position: since.Position, Time: since.Time},
		Until: s.floor.Position,
		of:    s,
		seen:  newDedupe(s.cfg.DedupeSize, s.cfg.DedupeAge),
	}
	b.From = lookFrom(since.Time, s.cfg.DedupeAge)
	s.past.reading = b
	s.stats.Backfills++
	return b, true
}

// Extend ends a Backfill that has come to its end: what was added is put
// before the window, and those who waited for it go on.
func (s *Stream) Extend(b *Backfill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.complete && b.After.Log == s.floor.Log && b.Until == s.floor.Position && !s.epochInWindow() {
		s.splice(b)
	}
	if b.blind {
		s.blindfold(b)
	}
	s.endBackfill(b) // if the window moved on meanwhile, they ask again
}

// blindfold lets those who stand at the Backfill's beginning, or before it, do
// without what came before: their cursors' time leads too far back to look for
// repetitions. It may be forged; others who stand there are not to suffer.
func (s *Stream) blindfold(b *Backfill) {
	for _, a := range s.past.waiting {
		if a.since.Position <= b.After.Position && !a.since.Time.After(b.After.Time) {
			a.since.Time = time.Time{}
		}
	}
}

// Fail ends a Backfill because the log does not lead on from After; the reason
// is told to who asked for it.
func (s *Stream) Fail(b *Backfill, reason domain.GapReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason == domain.TooFar && b.scanned == 0 && !b.From.IsZero() {
		s.blindfold(b) // it took too long to come to After from a time that may be forged
	} else {
		s.refuse(b, reason)
	}
	s.endBackfill(b)
}

// Abandon ends a Backfill without a result, since the log could not be
// reached. Who waits goes on waiting: ask NextBackfill again.
func (s *Stream) Abandon(b *Backfill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.drop(len(b.entries))
	s.past.reading = nil
}

func (s *Stream) endBackfill(b *Backfill) {
	b.drop(len(b.entries))
	s.past.reading = nil
	s.stats.Scanned += uint64(b.scanned)
	s.chargeReading(b)
	s.sortPast()
	if len(s.past.waiting) > 0 {
		s.past.poke()
	}
}

// chargeReading counts what was read since the last time for whom it was read.
func (s *Stream) chargeReading(b *Backfill) {
	read := b.looked + b.scanned
	s.cfg.Reads.charge(b.lead.asker, s.readCost(read-b.charged))
	b.charged = read
}

// sortPast lets those go on whom the window can serve by now, and puts the
// others in the order of their cursors.
func (s *Stream) sortPast() {
	parked := s.past.waiting
	s.past.waiting = nil
	for _, a := range parked {
		a.waiting = false
		if a.resume(a.since); !a.waiting {
			a.goOn()
		}
	}
	slices.SortStableFunc(s.past.waiting, func(a, b *Attachment) int {
		return cmp.Compare(a.since.Position, b.since.Position)
	})
}

// refuse tells a gap to those who wait at the Backfill's beginning, or before it
// unless their places may be better ones, and gives them what the window has.
func (s *Stream) refuse(b *Backfill, reason domain.GapReason) {
	now := s.cfg.Now()
	if reason == domain.UnknownCursor {
		s.past.refused.add(placeKey(b.After), now)
	} else if !s.past.cut.covers(b.After, now) {
		s.past.cut = cut{b.After.Log, b.After.Position, reason, now.Add(refuseFor)}
	}
	s.past.waiting = slices.DeleteFunc(s.past.waiting, func(a *Attachment) bool {
		earlier := a.since.Position < b.After.Position
		if a.since.Position > b.After.Position || earlier && reason == domain.UnknownCursor {
			return false
		}
		a.oweRefused(reason)
		a.goOn()
		return true
	})
}

// shorten makes room in a Backfill that has become too long: those who asked
// for its beginning are told so, and it begins where the next of them stands.
// False if nobody is left.
func (s *Stream) shorten(b *Backfill) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse(b, domain.TooFar)
	s.sortPast()
	if len(s.past.waiting) == 0 {
		return false
	}
	s.chargeReading(b)
	b.lead = s.past.waiting[0]
	b.beginAt(b.lead.since)
	return true
}

// splice puts the Backfill's entries before the window.
func (s *Stream) splice(b *Backfill) {
	s.overtake()
	s.past.cut = cut{} // what was too far from the window may not be any more
	now := s.cfg.Now()
	number := s.window.base - uint64(len(b.entries))
	older := make(map[*group][]uint64)
	for i := range b.entries {
		e := &b.entries[i].entry
		e.added = now
		e.groups = s.groups(e.msg)
		for _, g := range e.groups {
			older[g] = append(older[g], number+uint64(i))
		}
	}
	s.past.until = max(s.past.until, s.window.base)
	for g, n := range older {
		g.entries.prepend(n)
		s.weigh(g)
	}
	s.past.keep = now.Add(s.cfg.KeepPast)
	s.past.asker = b.lead.asker
	for i := len(b.entries) - 1; i >= 0; i-- {
		e := b.entries[i].entry
		s.window.prepend(e)
		s.stretch.prepend(s.window.base, &e.spot)
	}
	s.floor = spot{b.After, b.also}
	b.entries, b.size = nil, 0 // they are the window's now
	s.settleAccount()
	s.tellHolder()
}

// tellHolder tells the budget when there begins to be something that was read
// again, and when that ends.
func (s *Stream) tellHolder() {
	if keeps := s.window.base < s.past.until; keeps != s.past.holds {
		s.past.holds = keeps
		s.cfg.Past.hold(s, keeps)
	}
}

// giveBack drops what was read again, since somebody in another system wants to
// resume, for whom so much was read, and memory is used up: if nobody here is in
// need of it, or more was read for whoever asked for it.
func (s *Stream) giveBack(weight float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.past.reading != nil || s.past.needed(s) && s.cfg.Reads.weight(s.past.asker) <= weight {
		return
	}
	for s.window.base < s.past.until && s.window.len() > 1 {
		s.trimOne()
	}
	s.tellHolder()
}

// needed says whether somebody is on the way through what was read again.
func (p *past) needed(s *Stream) bool {
	return slices.ContainsFunc(s.everyone.members, func(m *member) bool {
		return !m.of.live && !m.of.waiting && m.of.next < p.until
	})
}

// overtake tells those whom trimming has passed, before the numbers that they
// stand at are given away again.
func (s *Stream) overtake() {
	for _, m := range s.everyone.members {
		a := m.of
		switch {
		case a.joining != nil && a.back < s.window.base:
			a.owed, a.owedAt, a.back = domain.Overflow, s.floor.Cursor, s.window.base
			a.noticeAt = max(a.noticeAt, a.back)
		case !a.live && !a.waiting && a.next < s.window.base:
			a.owe(domain.Overflow, s.window.base, s.floor.Cursor)
		}
	}
}
