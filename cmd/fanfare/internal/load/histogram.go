package load

import (
	"math"
	"math/bits"
	"time"
)

// A histogram counts durations with an error of at most 1/128, which is two
// significant digits. Its buckets are those of HdrHistogram: equally many for each
// power of two. It tells durations up to an hour apart, and counts longer ones as
// that. It is not safe for concurrent use.
type histogram struct {
	buckets [perPower * 36]uint64
	total   uint64
	most    time.Duration // the longest duration
}

const (
	powerBits = 7
	perPower  = 1 << powerBits // buckets for each power of two
)

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.most = max(h.most, d)
	h.total++
	h.buckets[min(bucket(uint64(d)), len(h.buckets)-1)]++
}

// bucket returns the bucket of n. There is one for each number below 2*perPower.
func bucket(n uint64) int {
	shift := max(0, bits.Len64(n)-powerBits-1)
	return shift*perPower + int(n>>shift)
}

// upper is the largest number in a bucket.
func upper(b int) uint64 {
	if b < 2*perPower {
		return uint64(b)
	}
	shift := b/perPower - 1
	return uint64(b-shift*perPower+1)<<shift - 1
}

// quantile returns a duration that the share q of all durations, 0 to 1, did not
// exceed. With 0 that is the shortest.
func (h *histogram) quantile(q float64) time.Duration {
	rank := max(1, uint64(math.Ceil(q*float64(h.total))))
	for i, n := range h.buckets {
		if n >= rank {
			return min(time.Duration(upper(i)), h.most)
		}
		rank -= n
	}
	return h.most
}

// A Point is a point of the percentile curve.
type Point struct {
	Quantile float64
	Latency  time.Duration
}

// curve returns the percentile curve: three points for each further nine, as far as
// the number of durations supports it.
func (h *histogram) curve() (points []Point) {
	if h.total == 0 {
		return nil
	}
	for rest := 1.0; rest*float64(h.total) >= 1; rest /= 10 {
		for _, part := range []float64{1, 0.5, 0.25} {
			if q := 1 - rest*part; rest*part*float64(h.total) >= 1 {
				points = append(points, Point{q, h.quantile(q)})
			}
		}
	}
	return append(points, Point{1, h.most})
}
