package history

// Fingerprints find the points in a window that other nodes know, too, on a
// bus without a log. They are kept in their order and never outlast the
// window.
type fingerprints struct {
	queue []fingerprint
	gone  int               // how many of the queue were forgotten
	next  map[uint64]uint64 // fingerprint: number of the first entry after it
	peak  int               // see Shrunk
}

type fingerprint struct{ value, next uint64 }

// add remembers a fingerprint; next is the number of the first entry after it.
func (f *fingerprints) add(value, next uint64) {
	if f.next == nil {
		f.next = make(map[uint64]uint64)
	}
	if len(f.queue) == cap(f.queue) && f.gone > len(f.queue)/2 {
		f.queue, f.gone = append(f.queue[:0], f.queue[f.gone:]...), 0
	}
	f.queue = append(f.queue, fingerprint{value, next})
	f.next[value] = next
	f.peak = max(f.peak, len(f.next))
}

// after returns the number of the first entry after the fingerprint, if all
// entries from there on are in a window that begins with entry start.
func (f *fingerprints) after(value, start uint64) (n uint64, ok bool) {
	n, ok = f.next[value]
	return n, ok && n >= start
}

// trim forgets those after which the window no longer continues, and all but
// the newest most.
func (f *fingerprints) trim(start uint64, most int) {
	for f.gone < len(f.queue) && (f.queue[f.gone].next < start || len(f.queue)-f.gone > most) {
		oldest := f.queue[f.gone]
		if f.next[oldest.value] == oldest.next {
			delete(f.next, oldest.value)
		}
		f.gone++
	}
	if live := len(f.queue) - f.gone; cap(f.queue) > 64 && 4*live < cap(f.queue) {
		f.queue, f.gone = append(make([]fingerprint, 0, 2*live), f.queue[f.gone:]...), 0
	}
	f.next = Shrunk(f.next, &f.peak)
}

// size is what they take.
func (f *fingerprints) size() int {
	return 2*wordSize*cap(f.queue) + (2*wordSize+MapSlot)*f.peak
}
