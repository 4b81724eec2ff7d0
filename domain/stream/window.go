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

func (w *window) grow() {
	old := *w
	w.ring = make([]entry, max(16, 2*len(old.ring)))
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

// Numbers are the entries of one target that are in the window, in order.
type numbers []uint64

// from returns the first number that is n or more.
func (s numbers) from(n uint64) (uint64, bool) {
	i := sort.Search(len(s), func(i int) bool { return s[i] >= n })
	if i == len(s) {
		return 0, false
	}
	return s[i], true
}

// dropFirst forgets the oldest number, which must be n if it is there.
func (s *numbers) dropFirst(n uint64) {
	if len(*s) > 0 && (*s)[0] == n {
		*s = (*s)[1:]
	}
}

// A span is the positions behind from, up to and with to; to is empty for none.
type span struct{ from, to domain.Position }

func (s span) has(p domain.Position) bool { return p > s.from && p <= s.to }
