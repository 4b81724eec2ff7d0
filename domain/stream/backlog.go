package stream

import (
	"cmp"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// A backlog is what a stream has read again from the log, from before its
// window: for a while the window is longer at its old end, and the sessions
// that waited for that continue as if it had always been so. One reading
// serves all sessions that wait.
type backlog struct {
	wake      chan struct{} // holds one token while there may be something to read
	waiting   []*Attachment // for the log to be read again from their cursors
	reading   *Backfill     // under way; the window is not trimmed meanwhile
	unlocated []*Attachment // for a Lookup of their cursors, which are in other logs
	looking   bool          // a Lookup is under way

	end    uint64    // entries before this number were read again
	keep   time.Time // until when they are kept
	isHeld bool      // the budget knows that there are such entries
	asker  Asker     // for whom they were read last
}

func (b *backlog) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *backlog) pokeIf(more bool) {
	if more {
		b.poke()
	}
}

// Wake receives when [Stream.NextBackfill] or [Stream.NextLookup] may have
// something to do. The feed of the stream serves it, if Config.Backlog is set.
func (s *Stream) Wake() <-chan struct{} { return s.backlog.wake }

// hasBacklog reports whether the oldest entry is one that was read again.
func (s *Stream) hasBacklog() bool { return s.history.First() < s.backlog.end }

// mustKeepBacklog reports whether the window must not be trimmed now, for the
// sake of sessions that are about to read its old end.
func (s *Stream) mustKeepBacklog(now time.Time) bool {
	if s.history.Len() > 2*s.cfg.Messages+s.cfg.MaxScan || s.cfg.Budget.farOver() {
		return false
	}
	return s.backlog.reading != nil || s.hasBacklog() && now.Before(s.backlog.keep)
}

// NextBackfill returns what is to be read again, if anything. There is one
// Backfill at a time. It begins at the cursor of the session whose turn it is;
// sessions between there and the window share it.
func (s *Stream) NextBackfill() (*Backfill, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backlog.reading != nil || !s.bus.confirmed {
		return nil, false
	}
	s.sortWaiting()
	if len(s.backlog.waiting) == 0 {
		return nil, false
	}
	lead, _ := s.cfg.Reads.lightest(s.backlog.waiting, nobody)
	since := lead.since
	b := &Backfill{
		lead:  lead,
		After: domain.Cursor{Log: since.Log, Position: since.Position, Time: since.Time},
		Until: s.history.Start().Position,
		From:  lookFrom(since.Time, s.cfg.DedupeAge),
		of:    s,
		seen:  history.NewDedupe(s.cfg.DedupeSize, s.cfg.DedupeAge),
	}
	s.backlog.reading = b
	s.stats.Backfills++
	return b, true
}

// Extend ends a Backfill that has come to its end: its entries are put before
// the window, and the sessions that waited for them continue.
func (s *Stream) Extend(b *Backfill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.complete && s.history.CanPrepend(b.After.Log, b.Until) {
		s.prepend(b)
	}
	if b.blind {
		s.skipRepetitions(b)
	}
	s.endBackfill(b) // if the window moved on meanwhile, they ask again
}

// skipRepetitions lets the sessions at the Backfill's beginning, or before it,
// do without what came before: by their cursors' time it is too long ago to
// look for repetitions. That time may be forged, and others who are at the
// same position must not suffer from it.
func (s *Stream) skipRepetitions(b *Backfill) {
	for _, a := range s.backlog.waiting {
		if a.since.Position <= b.After.Position && !a.since.Time.After(b.After.Time) {
			a.since.Time = time.Time{}
		}
	}
}

// Fail ends a Backfill because the log does not continue after After. The
// sessions that asked for it are told the reason.
func (s *Stream) Fail(b *Backfill, reason domain.GapReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason == domain.TooFar && b.scanned == 0 && !b.From.IsZero() {
		s.skipRepetitions(b) // it took too long to come to After from a time that may be forged
	} else {
		s.refuse(b, reason)
	}
	s.endBackfill(b)
}

// Abandon ends a Backfill without a result, since the log could not be
// reached. Sessions that wait keep waiting: call NextBackfill again.
func (s *Stream) Abandon(b *Backfill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.drop(len(b.entries))
	s.backlog.reading = nil
}

func (s *Stream) endBackfill(b *Backfill) {
	b.drop(len(b.entries))
	s.backlog.reading = nil
	s.stats.Scanned += uint64(b.scanned)
	s.chargeReading(b)
	s.sortWaiting()
	if len(s.backlog.waiting) > 0 {
		s.backlog.poke()
	}
}

// chargeReading charges the asker for what was read since the last time.
func (s *Stream) chargeReading(b *Backfill) {
	read := b.looked + b.scanned
	s.cfg.Reads.charge(b.lead.asker, s.readCost(read-b.charged))
	b.charged = read
}

// readCost returns what it costs to read a number of entries: beginning costs,
// too.
func (s *Stream) readCost(entries int) int { return entries + max(1, s.cfg.MaxScan/100) }

// sortWaiting lets the sessions proceed whom the window can serve by now, and
// puts the others in the order of their cursors.
func (s *Stream) sortWaiting() {
	all := s.backlog.waiting
	s.backlog.waiting = nil
	for _, a := range all {
		a.waiting = false
		if a.resume(a.since); !a.waiting {
			a.proceed()
		}
	}
	slices.SortStableFunc(s.backlog.waiting, func(a, b *Attachment) int {
		return cmp.Compare(a.since.Position, b.since.Position)
	})
}

// refuse tells a gap to the sessions that wait at the Backfill's beginning, and
// to those before it unless their positions may be better ones, and gives them
// what the window has.
func (s *Stream) refuse(b *Backfill, reason domain.GapReason) {
	s.history.RefuseBacklog(b.After, reason, s.cfg.Now())
	s.backlog.waiting = slices.DeleteFunc(s.backlog.waiting, func(a *Attachment) bool {
		earlier := a.since.Position < b.After.Position
		if a.since.Position > b.After.Position || earlier && reason == domain.UnknownCursor {
			return false
		}
		a.apply(s.history.Refused(reason), a.since)
		a.proceed()
		return true
	})
}

// shorten makes room in a Backfill that has become too long: the sessions that
// asked for its beginning are told so, and it begins at the cursor of the next
// one. It returns false if there is none.
func (s *Stream) shorten(b *Backfill) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse(b, domain.TooFar)
	s.sortWaiting()
	if len(s.backlog.waiting) == 0 {
		return false
	}
	s.chargeReading(b)
	b.lead = s.backlog.waiting[0]
	b.beginAt(b.lead.since)
	return true
}

// prepend puts the Backfill's entries before the window and into the index.
func (s *Stream) prepend(b *Backfill) {
	s.tellOvertaken()
	now := s.cfg.Now()
	number := s.history.First() - uint64(len(b.entries))
	older := make(map[*group][]uint64)
	entries := make([]entry, len(b.entries))
	for i := range b.entries {
		e := b.entries[i].entry
		e.Added = now
		e.Payload.groups = s.index.groupsOf(e.Message)
		for _, g := range e.Payload.groups {
			older[g] = append(older[g], number+uint64(i))
		}
		entries[i] = e
	}
	s.backlog.end = max(s.backlog.end, s.history.First())
	for g, numbers := range older {
		g.entries.Prepend(numbers)
		s.weigh(g)
	}
	s.backlog.keep = now.Add(s.cfg.KeepBacklog)
	s.backlog.asker = b.lead.asker
	s.history.Prepend(entries, history.Point{Cursor: b.After, Origins: b.origins})
	b.entries, b.size = nil, 0 // they are the window's now
	s.settleAccount()
	s.holdBudget()
}

// holdBudget tells the budget when there begins to be a backlog, and when that
// ends.
func (s *Stream) holdBudget() {
	if keeps := s.hasBacklog(); keeps != s.backlog.isHeld {
		s.backlog.isHeld = keeps
		s.cfg.Backlog.hold(s, keeps)
	}
}

// giveBack drops the backlog, since memory is used up and an asker of the given
// weight wants to resume in another system. The backlog stays if a session here
// needs it, unless the asker that it was read for weighs more.
func (s *Stream) giveBack(weight float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backlog.reading != nil || s.needsBacklog() && s.cfg.Reads.weight(s.backlog.asker) <= weight {
		return
	}
	for s.hasBacklog() && s.history.Len() > 1 {
		s.trimOne()
	}
	s.holdBudget()
}

// needsBacklog reports whether a session is on its way through the backlog.
func (s *Stream) needsBacklog() bool {
	return slices.ContainsFunc(s.index.everyone.members, func(m *membership) bool {
		return !m.of.live && !m.of.waiting && m.of.next < s.backlog.end
	})
}

// tellOvertaken gives the sessions that trimming has passed a gap, before the
// numbers that they hold are used again.
func (s *Stream) tellOvertaken() {
	first, start := s.history.First(), s.history.Start().Cursor
	for _, m := range s.index.everyone.members {
		a := m.of
		switch {
		case a.joining != nil && a.othersNext < first:
			a.pendingGap, a.pendingGapAt, a.othersNext = domain.Overflow, start, first
			a.noticeAt = max(a.noticeAt, a.othersNext)
		case !a.live && !a.waiting && a.next < first:
			a.beginAfterGap(domain.Overflow, first, start)
		}
	}
}
