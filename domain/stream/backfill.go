package stream

import (
	"sort"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Backfill is a piece of the log that a stream wants read again: what lies
// behind After, up to and with Until. The reader calls Seen for what it passes
// on its way to After, then Add for each entry, and ends with the stream's
// Extend, Fail or Abandon. It is not safe for concurrent use.
type Backfill struct {
	// After and Until are places in the log. After may move forward while it is
	// being read, when the beginning turns out to be too far away.
	After domain.Cursor
	Until domain.Position
	// From is where to begin to look, if the transport can read from a time: so
	// that repetitions of messages from before After are recognised.
	From time.Time

	of       *Stream
	lead     *Attachment // for whom it is read
	charged  int         // entries that were counted for somebody
	seen     dedupe
	entries  []scanned
	size     int
	index    int  // what the ring and the index will take for them, at most
	scanned  int  // entries behind After, messages or not
	skipped  int  // of these, those that After has moved past
	looked   int  // entries before After
	blind    bool // there are too many of them: read from After alone
	complete bool
	clock    clock
	also     []domain.Location // where After was in the logs that it was copied from, if it was met
}

// Asker is for whom it is read.
func (b *Backfill) Asker() Asker { return b.lead.asker }

// A scanned entry knows how many were scanned up to it.
type scanned struct {
	entry
	count int
}

// Seen tells of an entry at or before After. M is nil if it was no message.
func (b *Backfill) Seen(at domain.Position, t time.Time, m *domain.Message, also ...domain.Location) {
	if at == b.After.Position {
		b.also = also
	}
	if m == nil {
		return
	}
	if m.ID != "" {
		b.seen.check(m, b.at(t))
	}
	if at == b.After.Position {
		nameAfter(m, spot{domain.Cursor{Position: at}, also})
		b.After.ID = domain.HashID(m.ID)
	}
}

// Add tells of the next entry behind After. M is nil if it was no message. It
// returns false when the Backfill needs no more. Also is where the entry was in
// the logs that it was copied from.
func (b *Backfill) Add(at domain.Position, t time.Time, m *domain.Message, also ...domain.Location) (more bool) {
	switch {
	case at <= b.After.Position:
		b.Seen(at, t, m, also...)
		b.looked++
		b.blind = b.looked > b.of.cfg.MaxScan
		return !b.blind
	case at > b.Until:
		b.complete = true
		return false
	}
	b.scanned++
	b.take(at, t, m, also)
	b.complete = at == b.Until
	return !b.complete && (b.fits() || b.makeRoom() || b.of.shorten(b))
}

// makeRoom says whether others give back enough of the memory, if it is that.
func (b *Backfill) makeRoom() bool {
	if b.scanned-b.skipped <= b.of.cfg.MaxScan {
		b.of.cfg.Past.reclaim(b.of, b.of.cfg.Reads.weight(b.lead.asker))
	}
	return b.fits()
}

func (b *Backfill) take(at domain.Position, t time.Time, m *domain.Message, also []domain.Location) {
	if m == nil {
		return
	}
	if m.ID != "" {
		if v, _ := b.seen.check(m, b.at(t)); v == duplicate {
			return
		}
	}
	if !t.IsZero() && !plausible(t) {
		t = b.of.cfg.Now()
	}
	here := spot{domain.Cursor{Log: b.After.Log, Position: at, Time: t.Truncate(time.Millisecond).UTC()}, also}
	nameAfter(m, here)
	here.ID = domain.HashID(m.ID)
	e := entry{spot: here, msg: m, size: m.Size() + here.size() + domain.HeapSize(wordSize*len(m.To)), past: true}
	date(m, e.Time)
	b.of.cfg.Past.add(e.size)
	b.size += e.size
	b.index += indexSize(m)
	b.entries = append(b.entries, scanned{e, b.scanned})
}

// at is t on a clock that does not go back.
func (b *Backfill) at(t time.Time) time.Time { return b.clock.at(t, b.of.cfg.Now()) }

// fits says whether the stream may take so much.
func (b *Backfill) fits() bool {
	return b.scanned-b.skipped <= b.of.cfg.MaxScan && !b.of.cfg.Past.overWith(b.size, b.index)
}

// beginAt moves After forward.
func (b *Backfill) beginAt(since domain.Cursor) {
	n := sort.Search(len(b.entries), func(i int) bool { return b.entries[i].Position > since.Position })
	b.After, b.also = domain.Cursor{Log: since.Log, Position: since.Position, Time: since.Time}, nil
	b.skipped = b.scanned
	if n < len(b.entries) {
		b.skipped = b.entries[n].count - 1
	}
	if n > 0 && b.entries[n-1].Position == since.Position {
		b.After.ID, b.also = b.entries[n-1].ID, b.entries[n-1].also
	}
	b.drop(n)
}

// drop forgets the first n entries.
func (b *Backfill) drop(n int) {
	for i := range n {
		b.size -= b.entries[i].size
		b.of.cfg.Past.add(-b.entries[i].size)
		b.index -= indexSize(b.entries[i].msg)
		b.entries[i] = scanned{}
	}
	b.entries = b.entries[n:]
}
