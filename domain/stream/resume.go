package stream

import (
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// resume puts the session, or what is joining, behind the place where it says
// it is. It returns where the session begins now, and whether that is there.
// If the place is not known yet, the session waits.
func (a *Attachment) resume(since domain.Cursor) (at domain.Cursor, resumed bool) {
	s := a.stream
	if s.ahead(since) {
		a.wait(since)
		return since, true
	}
	switch {
	case since.Log == s.tip.Log:
	case s.cfg.HasLog:
		return a.resumeElsewhere(since)
	default:
		return a.comeOver(since)
	}
	first, floor := s.origin()
	atEpoch := s.epochInWindow() && first == s.epoch+1
	switch {
	case s.lived.has(since.Position) && !s.holds(since, first):
		// The log has been there twice: once before it went back. All that is
		// certain is the gap where it did.
		if s.epochInWindow() {
			a.begin(s.epoch)
			return floor, false
		}
		return a.owe(domain.UnknownCursor, s.window.head, s.tip.Cursor), false
	case since.Position == floor.Position && since.ID != 0 && atEpoch:
		a.begin(s.epoch) // a message's place, from before the gap
		return since, false
	case since.Position < floor.Position && s.canReadAgain(since):
		if refused := s.readAgain(a, since); refused != "" {
			return a.oweRefused(refused), false
		}
		return since, true
	case since.Position < floor.Position:
		return a.owe(domain.Trimmed, first, floor), false // the window is the most that can be given
	}
	n := s.window.after(first, since.Position)
	if n > first {
		floor = s.window.at(n - 1).Cursor
	}
	if floor.Position == since.Position && floor.ID != since.ID && floor.ID != 0 && since.ID != 0 {
		return a.owe(domain.UnknownCursor, s.window.head, s.tip.Cursor), false
	}
	a.begin(n)
	s.stats.Resumed++
	return since, true
}

// comeOver is resume with a cursor of another log, which on a bus without one is
// another node's.
func (a *Attachment) comeOver(since domain.Cursor) (at domain.Cursor, resumed bool) {
	s := a.stream
	if n, ok := s.known.behind(since.ID, s.window.base); ok {
		a.begin(n)
		s.stats.Resumed++
		return since, true
	}
	if now := s.cfg.Now(); a.until.IsZero() && s.maySee(since, now) {
		parked := since
		if parked.Time.After(now) {
			parked.Time = now // that clock is fast: do not wait the longer
		}
		a.wait(parked)
		return since, true
	}
	return a.owe(s.unknown(), s.window.head, s.tip.Cursor), false
}

// maySee says whether a landmark that is not known may be about to come: the
// node that the client was on may be a little ahead.
func (s *Stream) maySee(since domain.Cursor, now time.Time) bool {
	return s.tip.Log == s.own && since.ID != 0 && now.After(s.sure) && now.Sub(since.Time) < s.cfg.LandmarkWait
}

// holds says whether the window has the very message at the cursor.
func (s *Stream) holds(since domain.Cursor, first uint64) bool {
	n := s.window.after(first, since.Position)
	if n == first || since.ID == 0 {
		return false
	}
	at := s.window.at(n - 1)
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
	a.stream.early = early{}
}

// SetBusUp tells whether the bus can be reached.
func (s *Stream) SetBusUp(up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if up && s.down {
		s.asked = s.cfg.Now()
	}
	s.down, s.early = !up, early{}
}

// Unconfirmed says since when the bus answers without confirming the
// subscription; zero if it has confirmed, or does not answer.
func (s *Stream) Unconfirmed() (since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || s.begun || !s.tip.IsZero() {
		return time.Time{}
	}
	return s.asked
}

// settle ends the wait if it can.
func (a *Attachment) settle(now time.Time) (settled bool) {
	s := a.stream
	if a.until.IsZero() || s.down { // while nothing can come, waiting proves nothing
		a.until = now.Add(s.cfg.AheadWait)
	}
	switch {
	case a.since.IsZero():
		// It attached before the bus had confirmed. What was published in
		// between is lost to it, and nobody can say whether there was any.
		a.owe(domain.Lossy, s.window.head, s.tip.Cursor)
	case a.awaits(now):
		return false
	case !s.ahead(a.since):
		a.waiting = false
		if a.resume(a.since); a.waiting {
			return true // for the log now
		}
	case now.After(a.until):
		a.owe(s.unknown(), s.window.head, s.tip.Cursor)
	default:
		return false
	}
	a.goOn()
	return true
}

// awaits says whether the session waits for a landmark, and still may.
func (a *Attachment) awaits(now time.Time) bool {
	s := a.stream
	if a.since.Log == s.tip.Log {
		return false
	}
	_, here := s.known.behind(a.since.ID, s.window.base)
	return !here && s.maySee(a.since, now)
}

// goOn ends the wait.
func (a *Attachment) goOn() {
	a.waiting, a.until = false, time.Time{}
	if !a.held {
		a.fill()
	}
}

// settleWaiting lets go on who waited for what is here now.
func (s *Stream) settleWaiting() {
	if len(s.waiting) == 0 || !s.begun || s.tooEarly() {
		return
	}
	now := s.cfg.Now()
	s.waiting = slices.DeleteFunc(s.waiting, func(a *Attachment) bool { return a.settle(now) })
	s.early = s.foresee()
}

// Early says when it is worth looking at those who wait: cursors ahead of the
// stream may be forged, as many as there are sessions, and are not to cost
// anything with each entry.
type early struct {
	log   domain.LogID
	at    domain.Position // the first of those waited for
	until time.Time       // the first of those who wait is to be told a gap then
}

// foresee is zero if some wait for something else than a position in the present
// log.
func (s *Stream) foresee() (e early) {
	if s.down {
		return early{}
	}
	for i, a := range s.waiting {
		if a.since.Log != s.tip.Log || a.until.IsZero() {
			return early{}
		}
		if i == 0 || a.since.Position < e.at {
			e.at = a.since.Position
		}
		if i == 0 || a.until.Before(e.until) {
			e.until = a.until
		}
	}
	e.log = s.tip.Log
	return e
}

// tooEarly says whether nobody who waits can go on yet.
func (s *Stream) tooEarly() bool {
	return s.early.log != 0 && s.early.log == s.tip.Log && s.tip.Position < s.early.at && !s.cfg.Now().After(s.early.until)
}

// origin returns the first entry that continues the current log without a
// question, and the place that it follows.
func (s *Stream) origin() (first uint64, floor domain.Cursor) {
	first, floor = s.window.base, s.floor.Cursor
	for _, n := range [...]uint64{s.epoch, s.seam} { // at the epoch stands the gap
		if n >= first && n < s.window.head {
			first, floor = n+1, s.window.at(n).Cursor
		}
	}
	return first, floor
}

// ahead says whether the stream may still come to where the cursor is.
func (s *Stream) ahead(since domain.Cursor) bool {
	if since.Log == s.next && s.next != 0 {
		return true
	}
	at, known := s.tip.in(since.Log)
	return known && since.Position > at
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
	s.past.lost = slices.DeleteFunc(s.past.lost, same)
}
