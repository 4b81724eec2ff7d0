package control

import (
	"cmp"
	"math"
	"time"
)

// A version orders what was said of one key: the greater one counts. It is a reading of
// a hybrid logical clock: the milliseconds are those of the writer's wall clock, or the
// greatest that it has seen if its clock is behind that.
type version struct {
	ms      int64
	counter uint32 // orders versions of one writer that have the same ms
	inc     string // the writer's incarnation, which makes the order total
}

func (v version) compare(w version) int {
	if c := cmp.Compare(v.ms, w.ms); c != 0 {
		return c
	}
	if c := cmp.Compare(v.counter, w.counter); c != 0 {
		return c
	}
	return cmp.Compare(v.inc, w.inc)
}

// maxAhead is how far a version may be ahead of this node's wall clock, and how far
// another node's clock may be off. What is further off is not believed: a forged version
// in the year 3000 would win for a thousand years.
const maxAhead = time.Hour

// A hybrid is a hybrid logical clock.
type hybrid struct {
	ms      int64 // the greatest that was seen or given
	counter uint32
}

// next returns a version that is greater than all that were seen or given.
func (h *hybrid) next(wall int64, inc string) version {
	switch {
	case wall > h.ms:
		h.ms, h.counter = wall, 0
	case h.counter == math.MaxUint32: // somebody forged it
		h.ms, h.counter = h.ms+1, 0
	default:
		h.counter++
	}
	return version{h.ms, h.counter, inc}
}

// observe takes note of a version that was accepted.
func (h *hybrid) observe(v version) {
	if v.ms > h.ms {
		h.ms, h.counter = v.ms, v.counter
	} else if v.ms == h.ms {
		h.counter = max(h.counter, v.counter)
	}
}

// ahead reports whether a version is further in the future than a clock may be.
func (v version) ahead(wall int64) bool { return v.ms-wall > maxAhead.Milliseconds() }

// id returns a ULID for the command that made a version. It is not random, so that a
// simulation can be repeated, but no two versions have the same.
func (v version) id() string {
	const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	low := mix(hashNumber(hashName(fnvStart, v.inc), uint64(v.ms))) + uint64(v.counter)
	high := uint64(v.ms)<<16 | low>>40&0xffff
	var text [26]byte
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = crockford[low&31]
		low = low>>5 | high<<59
		high >>= 5
	}
	return string(text[:])
}
