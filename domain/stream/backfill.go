package stream

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// A Backfill is one reading of the log for sessions that came back late. It
// goes from the cursor of one of them to the start of the window, in turns: the
// reader calls [Backfill.Add] with what comes after After, in the log's order,
// until Add returns false or time is over, and ends the turn with the stream's
// EndTurn, Fail or Abandon. Only messages for targets that a rider listens to
// are kept, and only until the riders have taken them. It is not safe for
// concurrent use.
type Backfill struct {
	// After is the position in the log after which this turn begins.
	After domain.Cursor
	// From is the time to begin reading at, if the transport can read from a
	// time, so that repetitions of messages from before After are recognised.
	From time.Time

	of   *Stream
	lead Asker // on whose behalf this turn is
	turn int   // entries that were read in this turn

	life   int           // backlog.lives when it began: it leads nowhere in another
	start  domain.Cursor // where the first rider's cursor is
	at     domain.Cursor // of the last entry that was read; without a position before there is one
	looked int           // entries at or before start
	newest time.Time     // of the entries that were read, by the log's clock; From before there is one

	riders   []*Attachment             // sessions that have not got off
	boarding []*ride                   // of these, those whose cursors lie ahead, in the order of their positions
	wanted   map[domain.Target][]*ride // what the riders listen to
	seen     history.Dedupe            // of the messages that riders listen to
	takers   []*ride                   // scratch: for whom an entry is
	count    uint64                    // of messages for riders, see ride.mark
	stored   int                       // messages for riders since the lock was taken

	due     []*ride   // riders that have not been offered what was stored for them since served
	served  time.Time // when the riders were offered what was stored for them
	pressed bool      // there is too much stored to go on

	complete bool // it has come to the window
	full     bool // it waits until its rider has taken what is stored
	blind    bool // there is too much to look at before start: read from there alone
}

const (
	// maxOffers bounds how many messages are stored or offered, about, before
	// others may have the stream's lock.
	maxOffers = 1000
	// serveEach is how often riders are offered what was read meanwhile: what a
	// client gets together is written together.
	serveEach = 100 * time.Millisecond
	// lookBack is how many times Config.MaxScan entries may be looked at for
	// repetitions, before a reading begins without.
	lookBack = 2
	// riderShare is the part of the budget that one rider may have stored.
	riderShare = 16
)

var noTime time.Time

func newBackfill(s *Stream, start domain.Cursor) *Backfill {
	b := &Backfill{
		After: domain.Cursor{Log: start.Log, Position: start.Position, Time: start.Time},
		From:  lookFrom(start.Time, s.cfg.DedupeAge),
		of:    s, life: s.backlog.lives, start: start,
		at:     domain.Cursor{Log: start.Log},
		wanted: make(map[domain.Target][]*ride),
		seen:   history.NewDedupe(s.cfg.DedupeSize, s.cfg.DedupeAge),
	}
	if b.newest = b.From; b.From.IsZero() {
		b.at.Position = start.Position
	}
	return b
}

// Asker returns on whose behalf the turn is.
func (b *Backfill) Asker() Asker { return b.lead }

// place returns where the reading has come to: what is after it was not read. What
// comes before the first rider's cursor is read for repetitions alone.
func (b *Backfill) place() domain.Cursor {
	if b.at.Position < b.start.Position {
		return domain.Cursor{Log: b.start.Log, Position: b.start.Position, Time: b.start.Time}
	}
	return b.at
}

// goOn makes the next turn begin where this one has come to.
func (b *Backfill) goOn() {
	if b.turn > 0 {
		b.After, b.From = b.at, noTime
	}
}

// passes reports whether the reading comes past a cursor, and recognises what
// would be a repetition there: it has yet to read all that was logged since the
// time from which that has to be known.
func (b *Backfill) passes(c domain.Cursor) bool {
	if b.full || b.life != b.of.backlog.lives || c.Log != b.at.Log {
		return false
	}
	if c.Position < b.start.Position || c.Position < b.at.Position {
		return false
	}
	from := lookFrom(c.Time, b.of.cfg.DedupeAge)
	return from.IsZero() || !b.newest.IsZero() && !from.Before(b.newest)
}

// Add takes in the next entries, Records or Controls, and offers the riders what
// is for them, at once or a moment later. Messages holds what each entry was
// decoded to, nil if it is no message. Add returns false when the turn is over.
// What both point to is the stream's from then on.
func (b *Backfill) Add(entries []domain.Entry, messages []*domain.Message) (more bool) {
	for len(entries) > 0 {
		n, more := b.add(entries, messages)
		if !more || b.pressed || b.of.cfg.Now().Sub(b.served) >= serveEach {
			b.serve()
		}
		if !more || b.isFull() {
			return false
		}
		entries, messages = entries[n:], messages[n:]
	}
	return true
}

// isFull reports whether the reading waits until its rider has taken what is stored.
func (b *Backfill) isFull() bool {
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	return b.full
}

// add does what Add does for the first n entries.
func (b *Backfill) add(entries []domain.Entry, messages []*domain.Message) (n int, more bool) {
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	if b.life != b.of.backlog.lives || !b.of.history.Continues(b.at.Log) { // where it is, is as far as it comes
		b.complete = true
		return 0, false
	}
	now := b.of.cfg.Now()
	b.stored = 0
	for i := range entries {
		if b.stored > maxOffers || b.pressed {
			return i, true
		}
		if !b.step(&entries[i], messages[i], now) {
			return i, false
		}
	}
	return len(entries), true
}

// step takes in one entry. It returns false when the turn is over.
func (b *Backfill) step(e *domain.Entry, m *domain.Message, now time.Time) (more bool) {
	end := &b.of.history.Start().Cursor
	b.complete = e.Position >= end.Position
	if e.Position > end.Position {
		b.at = domain.Cursor{Log: b.at.Log, Position: end.Position, Time: end.Time}
		b.letOn(end.Position, nil)
		return false
	}
	b.letOnBefore(e.Position)
	b.turn++
	if e.Position <= b.start.Position {
		b.looked++
		b.blind = b.looked > lookBack*b.of.cfg.MaxScan
	}
	if e.Time.After(b.newest) {
		b.newest = e.Time
	}
	b.at.Position, b.at.Time = e.Position, logTime(e.Time, now)
	if m != nil {
		b.deliver(e, m, now)
	}
	b.letOn(e.Position, m)
	return !b.complete && !b.blind && b.turn < b.of.cfg.MaxScan && len(b.riders) > 0
}

// logNow returns what time it is where the reading is. This node's clock does not
// count, as a reading may pause, but the log's is not ahead of it.
func (b *Backfill) logNow(now time.Time) time.Time {
	if b.newest.After(now) {
		return now
	}
	return b.newest
}

// logTime returns the time of an entry as cursors have it.
func logTime(t, now time.Time) time.Time {
	if !t.IsZero() && !history.Plausible(t) {
		t = now
	}
	return t.Truncate(time.Millisecond).UTC()
}

// deliver stores a message for the riders that it is for.
func (b *Backfill) deliver(e *domain.Entry, m *domain.Message, now time.Time) {
	b.takers = b.takers[:0]
	wanted := false
	b.count++
	for _, t := range m.To {
		wanted = b.callTakers(t) || wanted
	}
	if wanted = b.callTakers(anybody) || wanted; !wanted {
		return
	}
	if m.ID != "" {
		if v, _ := b.seen.CheckAt(m, b.logNow(now)); v == history.Duplicate {
			return
		}
	}
	if len(b.takers) == 0 {
		return
	}
	again := b.newReplayed(e, m, now)
	if again.expired(now) {
		return
	}
	b.of.stats.Replayed++
	b.stored += len(b.takers)
	for _, r := range b.takers {
		r.push(again)
	}
}

// callTakers notes for whom a message for the target is. It returns whether a rider
// listens to the target, boarded or not.
func (b *Backfill) callTakers(t domain.Target) (wanted bool) {
	for _, r := range b.wanted[t] {
		wanted = true
		if r.boarded && r.mark != b.count {
			r.mark = b.count
			b.takers = append(b.takers, r)
		}
	}
	return wanted
}
