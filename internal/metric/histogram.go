package metric

import (
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// A Histogram counts how long something took. It is safe for concurrent use, needs
// no memory beside its own two kilobytes, and the zero Histogram is ready. Nothing
// in it is lost or forgotten.
//
// It has two sets of buckets: [Bounds], for which every Prometheus can show
// quantiles, and the finer ones of a native histogram, each of which is
// 2^(1/8) times as wide as the one before.
type Histogram struct {
	native  [nativeCells]atomic.Uint64
	classic [classicCells]atomic.Uint64
	sum     atomic.Uint64 // microseconds: nanoseconds would be used up after a day of much load
}

const (
	// Schema is the schema of the native buckets: 2^Schema of them double the time.
	Schema = 3
	// lowest and highest are the exponents, to the base of 2, of the shortest and the
	// longest time in seconds that have a native bucket of their own: a microsecond
	// and two hours. What is shorter is in the zero bucket, and what is longer in
	// the last one.
	lowest, highest = -20, 13

	perDoubling  = 1 << Schema
	nativeCells  = 1 + (highest-lowest)*perDoubling // the first is the zero bucket
	classicCells = len(bounds) + 1                  // the last is beyond all bounds
)

// bounds are the upper bounds of the classic buckets.
var bounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond,
	5 * time.Second, 10 * time.Second,
}

// Bounds returns the upper bounds of the classic buckets. The slice is the caller's.
func Bounds() []time.Duration { return slices.Clone(bounds[:]) }

// ZeroBound is the longest time, in seconds, that is in the zero bucket.
var ZeroBound = math.Ldexp(1, lowest)

// fractions are the lower bounds of the native buckets between 1/2 and 1: 2^(k/8 - 1).
var fractions = func() (all [perDoubling]float64) {
	for k := range all {
		all[k] = math.Exp2(float64(k)/perDoubling - 1)
	}
	return all
}()

// Observe counts that something took d, n times. A negative d counts as 0.
func (h *Histogram) Observe(d time.Duration, n uint64) {
	d = max(d, 0)
	// Read reads in the other order, so that it never finds more in the classic
	// buckets than in the native ones.
	h.native[nativeCell(d)].Add(n)
	h.classic[classicCell(d)].Add(n)
	h.sum.Add(uint64(d.Microseconds()) * n)
}

// nativeCell returns the place of the native bucket that d is in. Bucket k of 2^(k/8)
// holds what is longer than 2^((k-1)/8) seconds and at most 2^(k/8).
func nativeCell(d time.Duration) int {
	if d == 0 {
		return 0
	}
	fraction, exponent := math.Frexp(d.Seconds())
	k, _ := slices.BinarySearch(fractions[:], fraction)
	k += (exponent - 1 - lowest) * perDoubling
	return min(max(k, 0), nativeCells-1)
}

func classicCell(d time.Duration) int {
	i, _ := slices.BinarySearch(bounds[:], d)
	return i
}

// Read returns what was counted so far.
func (h *Histogram) Read() Distribution {
	d := Distribution{
		Classic: make([]uint64, classicCells),
		Native:  make([]uint64, nativeCells-1),
	}
	d.Sum = float64(h.sum.Load()) / 1e6
	for i := range d.Classic {
		d.Classic[i] = h.classic[i].Load()
	}
	d.Zero = h.native[0].Load()
	d.Count = d.Zero
	for i := range d.Native {
		d.Native[i] = h.native[i+1].Load()
		d.Count += d.Native[i]
	}
	return d
}

// A Distribution is what a [Histogram] has counted, or several together.
type Distribution struct {
	Count uint64  // observations
	Sum   float64 // seconds

	// Classic are the observations in each of [Bounds], those below it not included;
	// the last number is of those beyond all bounds.
	Classic []uint64

	// Zero is how many took at most [ZeroBound] seconds, and Native are those in the
	// buckets that follow, whose first has the index FirstNative.
	Zero   uint64
	Native []uint64
}

// FirstNative is the index of the first of [Distribution].Native in the schema [Schema].
const FirstNative = lowest*perDoubling + 1

// Plus returns what both have counted.
func (d Distribution) Plus(other Distribution) Distribution {
	return Distribution{
		Count: d.Count + other.Count, Sum: d.Sum + other.Sum, Zero: d.Zero + other.Zero,
		Classic: added(d.Classic, other.Classic), Native: added(d.Native, other.Native),
	}
}

// added returns the sums of two lists, of which one may be empty.
func added(a, b []uint64) []uint64 {
	if len(a) < len(b) {
		a, b = b, a
	}
	sum := slices.Clone(a)
	for i, n := range b {
		sum[i] += n
	}
	return sum
}
