package history

import "hash/maphash"

// An index knows the newest entry for each target in a window, by the target's
// hash. It is a hash table with open addressing. A slot holds a hash in its
// upper 32 bits and the lower 32 bits of an entry's number; 0 is an empty slot.
//
// Hashes need not be unique: a slot is a target's only if its entry is the end of
// the target's chain. There are as many slots with the same hash and entry as
// there are such targets, and it does not matter which of them is whose. A slot
// whose entry has left the window is free, but ends no search. Such slots are
// cleared when the table is made anew.
type index struct {
	seed  maphash.Seed
	slots []uint64 // a power of two long
	used  int      // slots that are not empty
	gone  int      // targets of dropped entries since the table was made
}

const (
	minSlots = 8
	slotSize = 8
)

func newIndex() index { return index{seed: maphash.MakeSeed()} }

// size is what the index takes, in bytes.
func (x *index) size() int { return slotSize * len(x.slots) }

func (x *index) key(target string) key {
	return key{target, max(1, maphash.String(x.seed, target)>>32)}
}

// find returns the slot of a target, and what the slot says: the number of its
// newest entry before entry end, and that entry's links for it. If the target
// has no slot, the number is 0, and the slot is one that it may have.
func (x *index) find(k key, end uint64, w *window) (slot *uint64, n uint64, l links) {
	for i := k.hash; ; i++ {
		s := &x.slots[i&uint64(len(x.slots)-1)]
		if *s == 0 {
			if slot == nil {
				slot = s
			}
			return slot, 0, nil
		}
		n, live := w.numberOf(uint32(*s))
		switch {
		case live && *s>>32 == k.hash && n < end:
			if l, _, ok := w.find(n, k.name); ok && l.next() == 0 {
				return s, n, l
			}
		case !live && slot == nil:
			slot = s
		}
	}
}

// numberOf returns the number of an entry in the window from its lower 32 bits,
// if there is one.
func (w *window) numberOf(low uint32) (n uint64, live bool) {
	n = w.refs.end - uint64(uint32(w.refs.end)-low)
	return n, n >= w.start && n < w.refs.end
}

// newest returns the newest entry for a target, and its links; 0 if there is none.
func (x *index) newest(target string, w *window) (n uint64, l links) {
	if len(x.slots) == 0 {
		return 0, nil
	}
	_, n, l = x.find(x.key(target), w.refs.end, w)
	return n, l
}

// put makes entry n the newest for a target. It returns the one that was that
// before, and its links; 0 if there was none.
func (x *index) put(target string, n uint64, w *window) (last uint64, l links) {
	if 4*x.used >= 3*len(x.slots) {
		x.rebuild(w)
	}
	k := x.key(target)
	slot, last, l := x.find(k, n, w)
	if *slot == 0 {
		x.used++
	}
	*slot = k.hash<<32 | uint64(uint32(n))
	return last, l
}

// forget notes that a message with so many targets is dropped. Its slots are
// freed by that alone. When a quarter of the table may be free, it is made anew.
func (x *index) forget(targets int, w *window) {
	x.gone += targets
	if len(x.slots) > minSlots && 4*x.gone >= len(x.slots) {
		x.rebuild(w)
	}
}

// rebuild makes a table that is at most half full with what is in use.
func (x *index) rebuild(w *window) {
	old, live := x.slots, 0
	for _, s := range old {
		if _, ok := w.numberOf(uint32(s)); ok && s != 0 {
			live++
		}
	}
	size := minSlots
	for size < 2*live+2 {
		size *= 2
	}
	x.slots, x.used, x.gone = make([]uint64, size), live, 0
	for _, s := range old {
		if _, ok := w.numberOf(uint32(s)); !ok || s == 0 {
			continue
		}
		i := s >> 32
		for x.slots[i&uint64(size-1)] != 0 {
			i++
		}
		x.slots[i&uint64(size-1)] = s
	}
}
