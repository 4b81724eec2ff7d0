package history

import (
	"reflect"
	"sort"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// An Entry is a message; or, with Message nil, a gap; or, with Reason empty as
// well, the point at which the bus was moved, of which no session is told.
// Payload is the owner's: history neither reads nor changes it.
type Entry[P any] struct {
	Point
	Message *domain.Message
	Payload P // stands beside Message, so that one read of memory brings both
	Reason  domain.GapReason
	Added   time.Time // when this node received it
	Size    int       // about what it takes of the heap, in bytes, beside its slot in the ring
}

// IsGap reports whether the entry is a gap.
func (e *Entry[P]) IsGap() bool { return e.Message == nil && e.Reason != "" }

// Expired reports whether the entry's message is past its ttl. A ttl counts
// from the entry's time in the log, but not from one that was still to come
// when this node received the entry.
func (e *Entry[P]) Expired(now time.Time) bool {
	if e.Message.TTL <= 0 { // few have one
		return false
	}
	since := e.Time
	if since.After(e.Added) {
		since = e.Added
	}
	return e.Message.Expired(since, now)
}

// firstNumber is the number of the first entry.
const firstNumber = 1

// A window holds the newest entries under consecutive numbers, in a ring:
// entry n is at(n) for start <= n < end. Entries of one log are in the order
// of their positions, so both number and position find an entry quickly.
type window[P any] struct {
	ring  []Entry[P] // a power of two long; entry n is at index n & (len-1)
	start uint64     // number of the oldest entry
	end   uint64     // number of the next entry to come
	bytes int        // sum of the entries' sizes
}

func newWindow[P any]() window[P] { return window[P]{start: firstNumber, end: firstNumber} }

func (w *window[P]) len() int              { return int(w.end - w.start) }
func (w *window[P]) at(n uint64) *Entry[P] { return &w.ring[n&uint64(len(w.ring)-1)] }
func (w *window[P]) has(n uint64) bool     { return n >= w.start && n < w.end }

// push adds the newest entry and returns its number.
func (w *window[P]) push(e Entry[P]) (n uint64) {
	if w.len() == len(w.ring) {
		w.grow()
	}
	n = w.end
	w.end++
	*w.at(n) = e
	w.bytes += e.Size
	return n
}

// pop forgets the oldest entry.
func (w *window[P]) pop() Entry[P] {
	slot := w.at(w.start)
	e := *slot
	*slot = Entry[P]{}
	w.start++
	w.bytes -= e.Size
	w.shrink()
	return e
}

func (w *window[P]) grow() { w.resize(max(16, 2*len(w.ring))) }

// shrink gives memory back when the window has become much shorter.
func (w *window[P]) shrink() {
	if len(w.ring) > 64 && 8*w.len() < len(w.ring) {
		w.resize(len(w.ring) / 4)
	}
}

func (w *window[P]) resize(slots int) {
	was := *w
	w.ring = make([]Entry[P], slots)
	for n := was.start; n != was.end; n++ {
		*w.at(n) = *was.at(n)
	}
}

// size is what the ring takes; what entries refer to is in bytes.
func (w *window[P]) size() int { return EntrySize[P]() * len(w.ring) }

// EntrySize is what an entry takes in the ring, in bytes.
func EntrySize[P any]() int { return int(reflect.TypeFor[Entry[P]]().Size()) }

// after returns the number of the first entry, from number from on, whose
// position is after p. All entries from there on must belong to p's log.
func (w *window[P]) after(from uint64, p domain.Position) uint64 {
	return w.search(from, w.end, func(e *Entry[P]) bool { return e.Position > p })
}

// search returns the first entry n with from <= n < to for which match is true,
// or to if there is none. It must also be true for all entries after it.
func (w *window[P]) search(from, to uint64, match func(*Entry[P]) bool) uint64 {
	from = max(from, w.start)
	return from + uint64(sort.Search(int(to-from), func(i int) bool { return match(w.at(from + uint64(i))) }))
}

// A span is the positions after from, up to and including to; to is empty for
// none.
type span struct{ from, to domain.Position }

func (s span) has(p domain.Position) bool { return p > s.from && p <= s.to }
