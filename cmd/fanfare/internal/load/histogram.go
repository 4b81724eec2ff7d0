package load

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram counts durations, to within 1/32 of each, up to some minutes;
// longer ones count as that. It is safe for concurrent use.
type histogram struct {
	buckets [32 * 36]atomic.Uint64
	most    atomic.Int64
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	for most := h.most.Load(); int64(d) > most && !h.most.CompareAndSwap(most, int64(d)); most = h.most.Load() {
	}
	h.buckets[min(bucket(uint64(d)), len(h.buckets)-1)].Add(1)
}

// bucket returns where n belongs: 32 buckets for each power of two.
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

// quantile returns what so much of all durations, 0 to 1, did not exceed.
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
