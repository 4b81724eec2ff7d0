package control

import (
	"encoding/binary"
	"math/bits"
)

// chunk is how many values of a slab are allocated together.
const chunk = 1024

// A slab holds values by number. Its values do not move: a pointer to one is good until
// it is removed. Compared with a slice it needs no room to grow, and is never copied.
type slab[T any] struct {
	chunks []*[chunk]T
	end    uint32 // numbers are below it
	free   []uint32
}

func (s *slab[T]) at(id uint32) *T { return &s.chunks[id/chunk][id%chunk] }

func (s *slab[T]) add(v T) uint32 {
	id := s.end
	if last := len(s.free) - 1; last >= 0 {
		id, s.free = s.free[last], s.free[:last]
	} else {
		if int(id/chunk) == len(s.chunks) {
			s.chunks = append(s.chunks, new([chunk]T))
		}
		s.end++
	}
	*s.at(id) = v
	return id
}

// remove leaves gone in the place of the value. A slab without values gives its memory
// back; until then it keeps what it had at its fullest.
func (s *slab[T]) remove(id uint32, gone T) {
	*s.at(id) = gone
	s.free = append(s.free, id)
	if len(s.free) == int(s.end) {
		*s = slab[T]{}
	}
}

// An index finds the numbers of a slab's values by their hash. It is a hash table with
// open addressing, which needs about 7 bytes for a number; a Go map needs four times
// that. The functions that its methods take say what is known of a number.
type index struct {
	slots []uint32 // number+1; 0: free
	used  int
}

const minSlots = 16

// start is where the search for a hash begins.
func (x *index) start(hash uint64) int {
	hi, _ := bits.Mul64(hash, uint64(len(x.slots)))
	return int(hi)
}

func (x *index) next(i int) int {
	if i++; i < len(x.slots) {
		return i
	}
	return 0
}

func (x *index) find(hash uint64, is func(id uint32) bool) (id uint32, ok bool) {
	if x.used == 0 {
		return 0, false
	}
	for i := x.start(hash); x.slots[i] != 0; i = x.next(i) {
		if id := x.slots[i] - 1; is(id) {
			return id, true
		}
	}
	return 0, false
}

// add takes a number that is not in the index.
func (x *index) add(id uint32, hash func(id uint32) uint64) {
	if x.used+1 > len(x.slots)/4*3 {
		x.resize(max(minSlots, x.used*2), hash)
	}
	x.place(id, hash(id))
	x.used++
}

func (x *index) place(id uint32, hash uint64) {
	i := x.start(hash)
	for x.slots[i] != 0 {
		i = x.next(i)
	}
	x.slots[i] = id + 1
}

func (x *index) resize(size int, hash func(id uint32) uint64) {
	old := x.slots
	x.slots = make([]uint32, size)
	for _, slot := range old {
		if slot != 0 {
			x.place(slot-1, hash(slot-1))
		}
	}
}

// remove takes out a number that is in the index, and moves those after it that a search
// would not find any more.
func (x *index) remove(id uint32, hash func(id uint32) uint64) {
	i := x.start(hash(id))
	for x.slots[i] != id+1 {
		i = x.next(i)
	}
	hole := i
	for i = x.next(i); x.slots[i] != 0; i = x.next(i) {
		if home := x.start(hash(x.slots[i] - 1)); !within(home, hole, i) {
			x.slots[hole], hole = x.slots[i], i
		}
	}
	x.slots[hole] = 0
	x.used--
	if len(x.slots) > minSlots && x.used < len(x.slots)/8 {
		x.resize(max(minSlots, x.used*2), hash)
	}
}

// within reports whether home is after hole and not after i, going round.
func within(home, hole, i int) bool {
	if hole < i {
		return hole < home && home <= i
	}
	return hole < home || home <= i
}

// texts holds texts of at most a few hundred bytes, one after another in blocks, and so
// without the header and the rounding that each string costs. What is written does not
// change. A text that is not needed any more is counted as dead by whoever added it.
type texts struct {
	blocks     [][]byte
	size, dead int // bytes
}

const (
	textBlock = 1 << 14 // bytes in a block
	textHead  = 2       // bytes before a text: its length
)

func (t *texts) add(text string) (at uint32) {
	last := len(t.blocks) - 1
	need := textHead + len(text)
	if last < 0 || len(t.blocks[last])+need > textBlock {
		t.blocks = append(t.blocks, make([]byte, 0, textBlock))
		last++
	}
	at = uint32(last*textBlock + len(t.blocks[last]))
	head := binary.BigEndian.AppendUint16(t.blocks[last], uint16(len(text)))
	t.blocks[last] = append(head, text...)
	t.size += need
	return at
}

func (t *texts) at(at uint32) []byte {
	b := t.blocks[at/textBlock][at%textBlock:]
	end := textHead + int(binary.BigEndian.Uint16(b))
	return b[textHead:end:end]
}
