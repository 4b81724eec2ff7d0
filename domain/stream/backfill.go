package stream

import (
	"sort"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// A Backfill is a piece of the log that a stream wants to have read again: the
// entries after After, up to and including Until. The reader calls Add for
// each entry that it comes across, in the log's order, and ends with the
// stream's Extend, Fail or Abandon. It is not safe for concurrent use.
type Backfill struct {
	// After and Until are positions in the log. After may move forward during
	// the reading, when the beginning turns out to be too far away.
	After domain.Cursor
	Until domain.Position
	// From is the time to begin reading at, if the transport can read from a
	// time, so that repetitions of messages from before After are recognised.
	From time.Time

	of       *Stream
	lead     *Attachment // for whom it is read
	charged  int         // entries that were charged to an asker
	seen     history.Dedupe
	entries  []scanned
	size     int
	index    int  // the most that the ring and the index will take for the entries, in bytes
	scanned  int  // entries after After, messages or not
	skipped  int  // of these, the ones that After has moved past
	looked   int  // entries at or before After
	blind    bool // there are too many of these: read from After alone
	complete bool
	origins  []domain.Location // of the entry at After, if the reading came across it
}

// Asker returns for whom it is read.
func (b *Backfill) Asker() Asker { return b.lead.asker }

// A scanned entry knows how many were scanned up to it.
type scanned struct {
	entry
	count int
}

// Add takes in the next entry, a Record or a Control. It was decoded to the
// message m, nil if it is none. Add returns false when the Backfill needs
// no more. What e and m point to is the stream's from then on.
func (b *Backfill) Add(e *domain.Entry, m *domain.Message) (more bool) {
	switch {
	case e.Position <= b.After.Position:
		b.see(e, m)
		b.looked++
		b.blind = b.looked > b.of.cfg.MaxScan
		return !b.blind
	case e.Position > b.Until:
		b.complete = true
		return false
	}
	b.scanned++
	if m != nil {
		b.take(e, m)
	}
	b.complete = e.Position == b.Until
	return !b.complete && (b.fits() || b.makeRoom() || b.of.shorten(b))
}

// see takes in an entry at or before After.
func (b *Backfill) see(e *domain.Entry, m *domain.Message) {
	isAfter := e.Position == b.After.Position
	if isAfter {
		b.origins = origins(e)
	}
	if m == nil {
		return
	}
	if m.ID != "" {
		b.seen.Check(m, e.Time, b.of.cfg.Now())
	}
	if isAfter {
		setID(m, &history.Point{Cursor: domain.Cursor{Position: e.Position}, Origins: b.origins})
		b.After.ID = domain.HashID(m.ID)
	}
}

// makeRoom reports whether the Backfill fits after others have given back
// memory, if it is memory that is missing.
func (b *Backfill) makeRoom() bool {
	if b.scanned-b.skipped <= b.of.cfg.MaxScan {
		b.of.cfg.Backlog.reclaim(b.of, b.of.cfg.Reads.weight(b.lead.asker))
	}
	return b.fits()
}

// take takes in a message after After.
func (b *Backfill) take(e *domain.Entry, m *domain.Message) {
	now, t := b.of.cfg.Now(), e.Time
	if m.ID != "" {
		if v, _ := b.seen.Check(m, t, now); v == history.Duplicate {
			return
		}
	}
	if !t.IsZero() && !history.Plausible(t) {
		t = now
	}
	p := history.Point{Origins: origins(e)}
	p.Cursor = domain.Cursor{Log: b.After.Log, Position: e.Position, Time: t.Truncate(time.Millisecond).UTC()}
	setID(m, &p)
	p.ID = domain.HashID(m.ID)
	setTime(m, p.Time)
	older := entry{Point: p, Message: m, Payload: indexed{backlog: true}}
	older.Size = m.Size() + p.Size() + domain.HeapSize(wordSize*len(m.To))
	b.of.cfg.Backlog.add(older.Size)
	b.size += older.Size
	b.index += indexSize(m)
	b.entries = append(b.entries, scanned{older, b.scanned})
}

// fits reports whether the stream may take what was read.
func (b *Backfill) fits() bool {
	return b.scanned-b.skipped <= b.of.cfg.MaxScan && !b.of.cfg.Backlog.overWith(b.size, b.index)
}

// beginAt moves After forward to a cursor.
func (b *Backfill) beginAt(since domain.Cursor) {
	n := sort.Search(len(b.entries), func(i int) bool { return b.entries[i].Position > since.Position })
	b.After, b.origins = domain.Cursor{Log: since.Log, Position: since.Position, Time: since.Time}, nil
	b.skipped = b.scanned
	if n < len(b.entries) {
		b.skipped = b.entries[n].count - 1
	}
	if n > 0 && b.entries[n-1].Position == since.Position {
		b.After.ID, b.origins = b.entries[n-1].ID, b.entries[n-1].Origins
	}
	b.drop(n)
}

// drop forgets the first n entries.
func (b *Backfill) drop(n int) {
	for i := range n {
		b.size -= b.entries[i].Size
		b.of.cfg.Backlog.add(-b.entries[i].Size)
		b.index -= indexSize(b.entries[i].Message)
		b.entries[i] = scanned{}
	}
	b.entries = b.entries[n:]
}
