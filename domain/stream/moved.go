package stream

import (
	"sort"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Expect says which log will go on for the present one when the bus is moved.
// Cursors in it are believed to be ahead of the stream until then.
func (s *Stream) Expect(next domain.LogID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = next
}

// Move says that the bus was moved: what is delivered from now on follows the
// position in log, which is the place was of the log that it goes on for, and
// of the logs before that. The stream may be in that log, or already in this one.
// Until is the tail, for a stream that is not ready.
func (s *Stream) Move(log domain.LogID, at domain.Position, t time.Time, until domain.Position, was ...domain.Location) {
	s.mu.Lock()
	defer s.mu.Unlock()
	here := spot{s.cursor(log, at, t), was}
	if log != s.tip.Log {
		if s.tip.Log != 0 {
			s.learn(s.tip.Log)
		}
		s.past.forgetRefusals()
		s.seam, s.next = s.window.head, 0
		s.lived = span{}
		s.target = max(at, until)
	}
	s.cfg.Budget.add(here.size())
	s.push(entry{spot: here, added: s.cfg.Now(), size: here.size()})
	s.pass(here)
	s.settleWaiting()
}

// Leave says that the bus is moved at the position, and that this stream is not
// set up to follow: what is published on the other bus will not come. Everybody
// is told a gap.
func (s *Stream) Leave(at domain.Position, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = true
	s.stats.Breaks[domain.Lossy]++
	s.gap(domain.Lossy, s.cursor(s.tip.Log, at, t))
}

// Left says whether the bus has gone elsewhere.
func (s *Stream) Left() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left
}

// resumeElsewhere is resume for a cursor in another log than the present one:
// the bus was moved since.
func (a *Attachment) resumeElsewhere(since domain.Cursor) (at domain.Cursor, resumed bool) {
	s := a.stream
	from, to, found := s.stretch.of(since.Log, s.window.head)
	if s.epochInWindow() {
		from = max(from, s.epoch+1) // what is before it does not lead here
	}
	from = max(from, s.window.base)
	if !found || from >= to {
		return a.lookUp(since)
	}
	place := func(n uint64) domain.Position {
		p, _ := s.window.at(n).in(since.Log)
		return p
	}
	n := from + uint64(sort.Search(int(to-from), func(i int) bool { return place(from+uint64(i)) > since.Position }))
	if n == from {
		return a.resumeBefore(since, from)
	}
	before := s.window.at(n - 1)
	if _, goesOn := s.tip.in(since.Log); n == to && !goesOn && place(n-1) < since.Position ||
		place(n-1) == since.Position && before.ID != 0 && since.ID != 0 && before.ID != since.ID {
		return a.owe(s.unknown(), s.window.head, s.tip.Cursor), false
	}
	a.begin(n)
	s.stats.Resumed++
	return since, true
}

// resumeBefore is for a cursor before entry n, the first that the window has
// with a place in the cursor's log.
func (a *Attachment) resumeBefore(since domain.Cursor, n uint64) (at domain.Cursor, resumed bool) {
	s := a.stream
	if n > s.window.base {
		if before := s.window.at(n - 1); before.msg == nil && before.reason != "" {
			a.begin(n - 1) // across the gap
			return since, false
		}
		return a.owe(s.unknown(), n, s.window.at(n).Cursor), false
	}
	if floor, known := s.floor.in(since.Log); known && floor <= since.Position {
		if floor == since.Position && s.floor.ID != 0 && since.ID != 0 && s.floor.ID != since.ID {
			return a.owe(s.unknown(), s.window.head, s.tip.Cursor), false
		}
		a.begin(n)
		s.stats.Resumed++
		return since, true
	}
	if !s.canReadAgain(since) {
		return a.lookUp(since)
	}
	if refused := s.readAgain(a, since); refused != "" {
		return a.oweRefused(refused), false
	}
	return since, true
}
