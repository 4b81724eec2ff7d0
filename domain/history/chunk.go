package history

import (
	"math/bits"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A chunk holds entries, encoded one after another. Its bytes are written once,
// except for the links of its entries, and are never used again: when the last
// entry is dropped, the chunk is left to the garbage collector. So texts may
// point into it for as long as they like, see [text].
type chunk struct {
	data  []byte       // the entries; what is left of the capacity is for those to come
	first uint64       // number of the first entry
	log   domain.LogID // of the first entry; others say it only if theirs is another
	time  int64        // of the first entry in its log, in Unix milliseconds; others say the difference
	added time.Time    // when the first entry was received; likewise
}

// Sizes of chunks. A window begins with small ones, as a node may have a
// thousand systems in which next to nothing happens.
const (
	minChunk = 1 << 10
	maxChunk = 64 << 10
	// chunkShare is the part of its window that a new chunk is to be: so much
	// of the window may be empty, or hold entries that were dropped.
	chunkShare = 16
)

// chunkSize is how large the next chunk is to be in a window of so many bytes.
func chunkSize(window int) int {
	if window >= chunkShare*maxChunk {
		return maxChunk
	}
	return max(minChunk, 1<<bits.Len(uint(window/chunkShare)))
}

// add encodes an entry into what is left of the chunk. It returns false if that
// is too little.
func (c *chunk) add(e *record, x *index) bool {
	free := c.data[len(c.data):len(c.data):cap(c.data)]
	b := appendEntry(free, e, c, x)
	if cap(b) != cap(free) { // it became longer, and was moved to other memory
		return false
	}
	c.data = c.data[:len(c.data)+len(b)]
	return true
}

// newChunk returns a chunk that begins with entry n, of the given size, or as
// large as the entry if that is larger.
func newChunk(size int, n uint64, e *record, x *index) chunk {
	c := chunk{first: n, log: e.point.Log, time: e.point.Time.UnixMilli(), added: e.added}
	c.data = appendEntry(make([]byte, 0, size), e, &c, x)
	if cap(c.data) > size {
		c.clip()
	}
	return c
}

// clip moves the entries to memory that is just large enough.
func (c *chunk) clip() { c.data = append([]byte(nil), c.data...) }

// close ends the chunk, to which no entry is added any more. If much of it is
// empty, it is given back.
func (c *chunk) close() {
	if empty := cap(c.data) - len(c.data); 8*empty > cap(c.data) {
		c.clip()
	}
}
