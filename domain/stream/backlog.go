package stream

import (
	"cmp"
	"math"
	"slices"

	"github.com/fanfarebus/fanfare/domain"
)

// A backlog is what a stream reads from the log again, for sessions whose
// cursors are older than its window. A reading, a [Backfill], goes through the
// log once for all sessions that ride along.
type backlog struct {
	wake     chan struct{} // holds one token while there may be something to read
	waiting  []*Attachment // for a reading from their cursors to begin
	readings []*Backfill   // that have begun and not ended, at most maxReadings
	current  *Backfill     // of these, the one whose turn it is; nil between two turns
	stored   int           // bytes of Config.Backlog that its riders have yet to take
	lives    int           // how often the log was replaced, or went back

	unlocated []*Attachment // for a Lookup of their cursors, which are in other logs
	looking   bool          // a Lookup is under way
}

// maxReadings bounds how many readings of a log are between their beginning and
// their end. Only one of them is read at a time.
const maxReadings = 4

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

// NextBackfill returns what is to be read of the log now, if anything: a
// Backfill that begins at the cursor of the session whose turn it is, or one
// that has begun and has to go on. There is one at a time; it ends with
// [Stream.EndTurn], [Stream.Fail] or [Stream.Abandon].
func (s *Stream) NextBackfill() (*Backfill, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backlog.current != nil || !s.bus.confirmed {
		return nil, false
	}
	s.sortWaiting()
	for {
		lead, _ := s.lightestReader(nobody)
		switch {
		case lead == nil:
			return nil, false
		case lead.ride == nil:
			s.beginReading(lead)
		case s.cfg.Reads.Over(lead.asker): // the other riders weigh as much, or more
			s.refuseRiders(lead.ride.on, domain.TooFar)
			continue
		}
		return s.beginTurn(lead), true
	}
}

// lightestReader returns the session whose turn it is: one that waits for a
// reading to begin, or one that rides in a reading that can go on.
func (s *Stream) lightestReader(barred func(user string) bool) (first *Attachment, least float64) {
	first, least = s.cfg.Reads.lightest(s.backlog.waiting, barred)
	for _, b := range s.backlog.readings {
		if b.full {
			continue
		}
		if a, w := s.cfg.Reads.lightest(b.riders, barred); a != nil && (first == nil || w <= least) {
			first, least = a, w
		}
	}
	return first, least
}

// beginTurn begins a turn of the reading that a session rides in. Others that
// wait ride along if they can.
func (s *Stream) beginTurn(lead *Attachment) *Backfill {
	b := lead.ride.on
	b.lead, b.turn = lead.asker, 0
	s.backlog.waiting = slices.DeleteFunc(s.backlog.waiting, b.takeAlong)
	s.backlog.current = b
	return b
}

// beginReading begins a reading at the cursor of a session that waits.
func (s *Stream) beginReading(lead *Attachment) {
	if len(s.backlog.readings) == maxReadings {
		s.endHeaviest()
	}
	b := newBackfill(s, lead.since)
	s.backlog.readings = append(s.backlog.readings, b)
	s.stats.Backfills++
	s.takeWaiting(func(a *Attachment) bool { return a == lead && b.takeAlong(a) })
}

// endHeaviest ends the reading for whose riders most was read. They wait for
// another one, from where this one has come to.
func (s *Stream) endHeaviest() {
	weight := func(b *Backfill) float64 {
		_, w := s.cfg.Reads.lightest(b.riders, nobody)
		return w
	}
	s.end(slices.MaxFunc(s.backlog.readings, func(a, b *Backfill) int { return cmp.Compare(weight(a), weight(b)) }))
}

// EndTurn ends a Backfill's turn: it wanted no more, or the time that the reader
// has for it is over. It returns false if not a single entry was read.
func (s *Stream) EndTurn(b *Backfill) (progress bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endTurn(b)
	s.chargeReading(b)
	progress = b.turn > 0 || b.complete
	switch {
	case b.complete, len(b.riders) == 0:
		s.end(b)
	case b.blind, !progress && !b.From.IsZero():
		s.skipRepetitions(b)
		s.end(b)
	case !progress:
		s.refuse(b, domain.TooFar)
	default:
		s.pause(b)
	}
	s.backlog.poke()
	return progress
}

// Fail ends a Backfill because the log does not continue where it has come to.
// Sessions that are there, or before it, are told the reason.
func (s *Stream) Fail(b *Backfill, reason domain.GapReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endTurn(b)
	s.chargeReading(b)
	s.refuse(b, reason)
	s.backlog.poke()
}

// Abandon ends a Backfill's turn since the log could not be reached. Its riders
// stay: call NextBackfill again.
func (s *Stream) Abandon(b *Backfill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endTurn(b)
	s.pause(b)
}

// pause makes the reading wait for its next turn, if it still has riders.
func (s *Stream) pause(b *Backfill) {
	b.serveDue(math.MaxInt)
	b.goOn()
	b.leaveBehind()
	if len(b.riders) == 0 {
		s.dissolve(b)
	}
}

func (s *Stream) endTurn(b *Backfill) {
	s.backlog.current = nil
	s.stats.Scanned += uint64(b.turn)
}

// chargeReading charges the asker whose turn it was for what was read.
func (s *Stream) chargeReading(b *Backfill) { s.cfg.Reads.Charge(b.lead, s.readCost(b.turn)) }

// readCost returns what it costs to read a number of entries: beginning costs,
// too.
func (s *Stream) readCost(entries int) int { return entries + max(1, s.cfg.MaxScan/1000) }

// skipRepetitions lets the sessions at the Backfill's beginning do without what
// came before: by their cursors' time it is too long ago to look for
// repetitions. That time may be forged, and others who are at the same position
// must not suffer from it.
func (s *Stream) skipRepetitions(b *Backfill) {
	for _, a := range b.riders {
		if a.since.Position <= b.start.Position && !a.since.Time.After(b.start.Time) {
			a.since.Time = noTime
		}
	}
}

// sortWaiting lets the sessions proceed whom the window can serve by now, and puts
// the others in the order of their cursors.
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

// awaitBacklog makes the session wait for the log to be read from its cursor
// on: by a reading that is on its way there, or by one that is to begin.
func (a *Attachment) awaitBacklog(since domain.Cursor) {
	s := a.stream
	a.waiting, a.since = true, since
	if b := s.backlog.current; b == nil || !b.takeAlong(a) {
		s.backlog.waiting = append(s.backlog.waiting, a)
	}
	s.backlog.poke()
}

// end ends a reading: its riders get off where it has come to.
func (s *Stream) end(b *Backfill) {
	place := b.place()
	for _, a := range s.dissolve(b) {
		a.ride.getOff(place, "")
	}
}

// refuse ends a reading, since the log cannot be read on from where it has come
// to. Sessions that are there are told the reason. So are those before it, unless
// their positions may be better ones; sessions behind it wait for another
// reading.
func (s *Stream) refuse(b *Backfill, reason domain.GapReason) {
	place := b.place()
	s.history.RefuseBacklog(place, reason, s.cfg.Now())
	s.refuseRiders(b, reason)
	refused := func(a *Attachment) bool {
		earlier := a.since.Position < place.Position
		return a.since.Position == place.Position || earlier && reason != domain.UnknownCursor
	}
	for _, a := range s.takeWaiting(refused) {
		a.apply(s.history.Refused(reason), a.since)
		a.proceed()
	}
}

// refuseRiders ends a reading and tells those the reason whose cursors it has
// come to. Those whose cursors lie ahead wait for another reading.
func (s *Stream) refuseRiders(b *Backfill, reason domain.GapReason) {
	place := b.place()
	for _, a := range s.dissolve(b) {
		if a.since.Position <= place.Position {
			a.ride.boarded = true
			a.ride.getOff(place, reason)
			continue
		}
		a.ride.getOff(place, "")
	}
}

// takeWaiting takes those out of the list of sessions that wait which match.
func (s *Stream) takeWaiting(match func(*Attachment) bool) (taken []*Attachment) {
	s.backlog.waiting = slices.DeleteFunc(s.backlog.waiting, func(a *Attachment) bool {
		if !match(a) {
			return false
		}
		taken = append(taken, a)
		return true
	})
	return taken
}

// dissolve takes a reading off the stream's list and returns its riders, who
// have yet to get off.
func (s *Stream) dissolve(b *Backfill) (riders []*Attachment) {
	s.backlog.readings = slices.DeleteFunc(s.backlog.readings, func(other *Backfill) bool { return other == b })
	riders = b.riders
	b.riders, b.boarding, b.wanted = nil, nil, nil
	return riders
}
