package history

import "unsafe"

// A ring holds values under consecutive numbers: value n is at(n) for
// start <= n < end. It grows and shrinks with what it holds. The zero ring is
// empty and begins with number 0.
type ring[T any] struct {
	slots      []T // a power of two long; value n is at index n & (len-1)
	start, end uint64
}

// minRing is the length of the shortest ring that holds something.
const minRing = 8

func newRing[T any](first uint64) ring[T] { return ring[T]{start: first, end: first} }

func (r *ring[T]) len() int          { return int(r.end - r.start) }
func (r *ring[T]) at(n uint64) *T    { return &r.slots[n&uint64(len(r.slots)-1)] }
func (r *ring[T]) has(n uint64) bool { return n-r.start < r.end-r.start }

// push adds the newest value.
func (r *ring[T]) push(v T) {
	if r.len() == len(r.slots) {
		r.resize(max(minRing, 2*len(r.slots)))
	}
	*r.at(r.end) = v
	r.end++
}

// drop forgets the oldest value, which must exist.
func (r *ring[T]) drop() {
	var none T
	*r.at(r.start) = none
	r.start++
	if len(r.slots) > minRing && 8*r.len() < len(r.slots) {
		r.resize(len(r.slots) / 4)
	}
}

func (r *ring[T]) resize(slots int) {
	was := *r
	r.slots = make([]T, slots)
	for n := was.start; n != was.end; n++ {
		*r.at(n) = *was.at(n)
	}
}

// size is what the ring takes, in bytes.
func (r *ring[T]) size() int {
	var value T
	return int(unsafe.Sizeof(value)) * len(r.slots)
}
