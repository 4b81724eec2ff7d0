package load

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram counts durations with an error of at most 1/32. It tells durations
// up to half an hour apart, and counts longer ones as that. It is safe for
// concurrent use.
type histogram struct {
	buckets [32 * 36]atomic.Uint64
	most    atomic.Int64 // the longest duration, in nanoseconds
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	for {
		most := h.most.Load()
		if int64(d) <= most || h.most.CompareAndSwap(most, int64(d)) {
			break
		}
	}
	h.buckets[min(bucket(uint64(d)), len(h.buckets)-1)].Add(1)
}

// bucket returns the bucket of n. There are 32 buckets for each power of two, and
// one for each number below 64.
func bucket(n uint64) int {
	shift := max(0, bits.Len64(n)-6)
	return shift*32 + int(n>>shift)
}

// upper is the largest number in a bucket.
func upper(b int) uint64 {
	if b < 64 {
		return uint64(b)
	}
	shift := b/32 - 1
	return uint64(b-shift*32+1)<<shift - 1
}

// quantile returns a duration that the share q of all durations, 0 to 1, did not
// exceed.
func (h *histogram) quantile(q float64) time.Duration {
	total := uint64(0)
	for i := range h.buckets {
		total += h.buckets[i].Load()
	}
	rank := uint64(math.Ceil(q * float64(total)))
	for i := range h.buckets {
		n := h.buckets[i].Load()
		if n >= rank {
			return min(time.Duration(upper(i)), time.Duration(h.most.Load()))
		}
		rank -= n
	}
	return time.Duration(h.most.Load())
}
