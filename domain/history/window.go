package history

import (
	"encoding/binary"
	"sort"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// firstNumber is the number of the first entry, so that 0 is none.
const firstNumber = 1

// MaxEntries is the most entries that a window may hold: links between them
// have 32 bits.
const MaxEntries = 1 << 31

// A window holds the newest entries under consecutive numbers, for
// start <= n < refs.end. Entries of one log are in the order of their positions,
// so both number and position find an entry quickly; the index and the links
// of entries find those for a target.
//
// The entry before the oldest one can still be read, if the window had it: it
// is where the window begins.
type window struct {
	chunks ring[chunk]
	refs   ring[ref]
	start  uint64 // number of the oldest entry
	index  index
	bytes  int // what the chunks take

	oldestAt uint64    // the number of the entry that added is of
	added    time.Time // when it was received
}

// A ref says where an entry is: the number of its chunk, of which the lower 32
// bits find it in the ring, and the offset in there.
type ref uint64

func newWindow() window {
	return window{refs: newRing[ref](firstNumber), start: firstNumber, index: newIndex()}
}

func (w *window) len() int          { return int(w.refs.end - w.start) }
func (w *window) has(n uint64) bool { return n >= w.start && n < w.refs.end }

// push adds the newest entry and returns its number.
func (w *window) push(e *record) (n uint64) {
	n = w.refs.end
	offset := w.write(n, e)
	w.refs.push(ref(w.chunks.end-1)<<32 | ref(offset))
	if e.message != nil {
		w.link(n)
	}
	return n
}

// write encodes entry n into the newest chunk, or a new one, and returns where
// in there it begins.
func (w *window) write(n uint64, e *record) (offset int) {
	if w.chunks.len() > 0 {
		c := w.chunks.at(w.chunks.end - 1)
		offset = len(c.data)
		if c.add(e, &w.index) {
			return offset
		}
		w.bytes -= cap(c.data)
		c.close()
		w.bytes += cap(c.data)
	}
	c := newChunk(chunkSize(w.bytes), n, e, &w.index)
	w.chunks.push(c)
	w.bytes += cap(c.data)
	return 0
}

// drop forgets the oldest entry.
func (w *window) drop() {
	e := w.at(w.start)
	w.start++
	if e.IsMessage() {
		count, _ := e.targets().each()
		w.index.forget(count, w)
	}
	w.release(w.start - 1)
}

// release lets go of what is before entry n.
func (w *window) release(n uint64) {
	for w.refs.start < n {
		w.refs.drop()
	}
	for w.chunks.len() > 1 && w.chunks.at(w.chunks.start+1).first <= n {
		w.bytes -= cap(w.chunks.at(w.chunks.start).data)
		w.chunks.drop()
	}
}

// at returns entry n.
func (w *window) at(n uint64) Entry {
	r := *w.refs.at(n)
	c := w.chunks.at(uint64(r >> 32))
	data := c.data[uint32(r):]
	return Entry{data, c, flags(binary.LittleEndian.Uint16(data))}
}

// find returns the links of entry n for a target, and a number that is lower for
// earlier targets of the entry; false if the entry is not for it.
func (w *window) find(n uint64, target string) (l links, place int, found bool) {
	e := w.at(n)
	if !e.IsMessage() {
		return nil, 0, false
	}
	return e.targets().find(target, &w.index)
}

// point returns a point of its own for entry n.
func (w *window) point(n uint64) Point {
	e := w.at(n)
	p := e.Point()
	return p.Clone()
}

// oldest returns when the oldest entry was received. It is asked with each entry
// that comes.
func (w *window) oldest() time.Time {
	if w.oldestAt != w.start {
		e := w.at(w.start)
		w.oldestAt, w.added = w.start, e.added()
	}
	return w.added
}

// position returns the position of entry n. It is the window's own.
func (w *window) position(n uint64) domain.Position {
	e := w.at(n)
	p, _ := e.position()
	return p
}

// size is what the window takes, in bytes.
func (w *window) size() int {
	return w.bytes + w.chunks.size() + w.refs.size() + w.index.size()
}

// after returns the number of the first entry, from number from on, whose
// position is after p. All entries from there on must belong to p's log.
func (w *window) after(from uint64, p domain.Position) uint64 {
	return w.search(from, w.refs.end, func(n uint64) bool { return w.position(n) > p })
}

// search returns the first entry n with from <= n < to for which match is true,
// or to if there is none. It must also be true for all entries after it.
func (w *window) search(from, to uint64, match func(n uint64) bool) uint64 {
	from = max(from, w.start)
	return from + uint64(sort.Search(int(to-from), func(i int) bool { return match(from + uint64(i)) }))
}

// A span is the positions after from, up to and including to; to is empty for
// none.
type span struct{ from, to domain.Position }

func (s span) has(p domain.Position) bool { return p > s.from && p <= s.to }
