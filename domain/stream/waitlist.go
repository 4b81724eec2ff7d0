package stream

import (
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// A waitlist holds the sessions that attached before the stream has come to
// their cursors, or before the bus has confirmed.
//
// Cursors that are ahead may be forged, as many as there are sessions, and
// must not cost anything with each entry. So the waitlist knows when it is
// worth looking at: at a position of a log, or at a time.
type waitlist struct {
	sessions []*Attachment
	log      domain.LogID    // 0: it is worth looking at with the next entry
	at       domain.Position // the first position that a session waits for
	until    time.Time       // when the first session is told a gap instead

	messages map[string]*awaiting // that somebody waits for, by id
}

// lookAgain makes the next isDue return true.
func (w *waitlist) lookAgain() { w.log = 0 }

// isDue reports whether a session may proceed when the stream is at head.
func (w *waitlist) isDue(head domain.Cursor, now time.Time) bool {
	return w.log == 0 || w.log != head.Log || head.Position >= w.at || now.After(w.until)
}

// plan finds out when it is worth looking at the sessions again. If one waits
// for something else than a position in the log, that is with the next entry.
func (w *waitlist) plan(log domain.LogID) {
	w.lookAgain()
	for i, a := range w.sessions {
		if a.since.Log != log || a.until.IsZero() {
			return
		}
		if i == 0 || a.since.Position < w.at {
			w.at = a.since.Position
		}
		if i == 0 || a.until.Before(w.until) {
			w.until = a.until
		}
	}
	w.log = log
}

// wait makes the session wait until the stream has come to its cursor.
func (a *Attachment) wait(since domain.Cursor) {
	s := a.stream
	a.waiting, a.since = true, since
	a.until = time.Time{} // the wait counts from when the bus has confirmed
	if s.bus.confirmed {
		a.until = s.cfg.Now().Add(s.cfg.AheadWait)
	}
	s.waitlist.sessions = append(s.waitlist.sessions, a)
	s.waitlist.lookAgain()
}

// settleWaitlist lets sessions proceed whose wait is over.
func (s *Stream) settleWaitlist() {
	if len(s.waitlist.sessions) == 0 || !s.bus.confirmed {
		return
	}
	now := s.cfg.Now()
	head := s.history.Head()
	if !s.waitlist.isDue(head.Cursor, now) {
		return
	}
	s.waitlist.sessions = slices.DeleteFunc(s.waitlist.sessions, func(a *Attachment) bool {
		return a.settle(now)
	})
	if s.bus.down {
		s.waitlist.lookAgain()
		return
	}
	s.waitlist.plan(head.Log)
}

// settle ends the session's wait if it can.
func (a *Attachment) settle(now time.Time) (settled bool) {
	s := a.stream
	if a.until.IsZero() || s.bus.down { // while nothing can come, waiting proves nothing
		a.until = now.Add(s.cfg.AheadWait)
	}
	if a.since.IsZero() {
		// It attached before the bus had confirmed. What was published in
		// between is lost to it, and nobody can say whether there was any.
		a.apply(s.history.GapAtHead(domain.Lossy), a.since)
		a.proceed()
		return true
	}
	answer := s.history.Find(a.since, s.cfg.Now)
	if answer.Kind == history.Ahead {
		if a.since = answer.Cursor; !now.After(a.until) {
			return false
		}
		answer = s.history.Unknown()
	}
	a.waiting = false
	if a.apply(answer, a.since); !a.waiting { // else it waits for the log now
		a.proceed()
	}
	return true
}

// forget removes a session from all that wait.
func (s *Stream) forget(a *Attachment) {
	same := func(w *Attachment) bool { return w == a }
	s.waitlist.sessions = slices.DeleteFunc(s.waitlist.sessions, same)
	s.backlog.waiting = slices.DeleteFunc(s.backlog.waiting, same)
	s.backlog.unlocated = slices.DeleteFunc(s.backlog.unlocated, same)
	a.abandonRide()
}
