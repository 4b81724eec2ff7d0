package stream

import (
	"sort"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A window holds a stream's newest entries under consecutive numbers: entry n
// is at(n) for base <= n < head. Entries of the current log are in the order
// of their positions, so both number and position find an entry at once.
type window struct {
	ring  []entry // a power of two long; entry n lives at n & (len-1)
	base  uint64  // number of the oldest entry
	head  uint64  // number of the next entry; firstNumber to begin with
	bytes int
}

// firstNumber leaves room below for what is read again from the log.
const firstNumber = 1 << 40

// An entry is a message; or, with msg nil, a gap; or, without a reason too, the
// place where the bus was moved, of which no session is told.
type entry struct {
	spot
	msg    *domain.Message
	groups []*group // where it is indexed, in the order of msg.To
	reason domain.GapReason
	added  time.Time
	size   int
	past   bool // read again from the log: it belongs to another budget
	frames []sharedFrame
}

// What the parts of a window take.
const (
	entrySize = 192 // an entry in the ring
	frameSize = 64  // a sharedFrame
	wordSize  = 8
)

// A sharedFrame is what one Encoder made of an entry for one target.
type sharedFrame struct {
	by Encoder
	to domain.Target
	Frame
}

func (w *window) len() int           { return int(w.head - w.base) }
func (w *window) at(n uint64) *entry { return &w.ring[n&uint64(len(w.ring)-1)] }

func (w *window) push(e entry) (n uint64) {
	if w.len() == len(w.ring) {
		w.grow()
	}
	n = w.head
	w.head++
	*w.at(n) = e
	w.bytes += e.size
	return n
}

// pop forgets the oldest entry.
func (w *window) pop() entry {
	slot := w.at(w.base)
	e := *slot
	*slot = entry{}
	w.base++
	w.bytes -= e.size
	w.shrink()
	return e
}

// prepend puts e before the oldest entry.
func (w *window) prepend(e entry) {
	if w.len() == len(w.ring) {
		w.grow()
	}
	w.base--
	*w.at(w.base) = e
	w.bytes += e.size
}

func (w *window) grow() { w.resize(max(16, 2*len(w.ring))) }

// shrink gives memory back when the window has become much shorter.
func (w *window) shrink() {
	if len(w.ring) > 64 && 8*w.len() < len(w.ring) {
		w.resize(len(w.ring) / 4)
	}
}

// size is what the ring takes; what entries refer to is counted with each.
func (w *window) size() int { return entrySize * len(w.ring) }

func (w *window) resize(slots int) {
	old := *w
	w.ring = make([]entry, slots)
	for n := old.base; n != old.head; n++ {
		*w.at(n) = *old.at(n)
	}
}

// after returns the number of the first entry, from from on, whose position is
// behind p. From there on all entries must belong to p's log.
func (w *window) after(from uint64, p domain.Position) uint64 {
	from = max(from, w.base)
	return from + uint64(sort.Search(int(w.head-from), func(i int) bool {
		return w.at(from+uint64(i)).Position > p
	}))
}

// A span is the positions behind from, up to and with to; to is empty for none.
type span struct{ from, to domain.Position }

func (s span) has(p domain.Position) bool { return p > s.from && p <= s.to }
