package metric_test

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/internal/metric"
)

// upper returns the upper bound in seconds of the native bucket at a place of
// Distribution.Native.
func upper(i int) float64 {
	return math.Exp2(float64(metric.FirstNative+i) / (1 << metric.Schema))
}

func TestAnObservationIsInTheBucketsAroundIt(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	times := []time.Duration{time.Microsecond, time.Millisecond, time.Second, 2 * time.Second,
		500 * time.Microsecond, 10 * time.Second, 10*time.Second + 1, time.Hour}
	for range 2000 {
		times = append(times, time.Duration(math.Exp(random.Float64()*math.Log(float64(time.Hour)))))
	}
	for _, d := range times {
		var h metric.Histogram
		h.Observe(d, 3)
		got := h.Read()
		if got.Count != 3 || math.Abs(got.Sum-3*d.Seconds()) > 4e-6 {
			t.Fatalf("%v: count %d, sum %v", d, got.Count, got.Sum)
		}
		if d.Seconds() <= metric.ZeroBound != (got.Zero == 3) {
			t.Fatalf("%v: zero bucket %d", d, got.Zero)
		}
		for i, n := range got.Native {
			const rounding = 1e-12
			in := d.Seconds() <= upper(i)*(1+rounding) && d.Seconds() > upper(i-1)*(1-rounding)
			if n > 0 && !in || n != 0 && n != 3 {
				t.Fatalf("%v: %d in the bucket up to %v", d, n, upper(i))
			}
		}
		bounds := metric.Bounds()
		for i, n := range got.Classic {
			in := (i == len(bounds) || d <= bounds[i]) && (i == 0 || d > bounds[i-1])
			if in != (n == 3) {
				t.Fatalf("%v: %d in classic bucket %d", d, n, i)
			}
		}
	}
}

func TestWhatIsOutOfRangeIsCountedAtTheEnds(t *testing.T) {
	var h metric.Histogram
	h.Observe(-time.Second, 1)
	h.Observe(0, 1)
	h.Observe(1000*time.Hour, 1)
	got := h.Read()
	if last := got.Native[len(got.Native)-1]; got.Count != 3 || got.Zero != 2 || last != 1 {
		t.Errorf("count %d, zero %d, last %d; want 3, 2, 1", got.Count, got.Zero, last)
	}
	if got.Classic[0] != 2 || got.Classic[len(got.Classic)-1] != 1 {
		t.Errorf("classic buckets %v", got.Classic)
	}
}

func TestTheSumLastsForYears(t *testing.T) {
	var h metric.Histogram
	const aDay, each = 86_400 * 2_000_000, 30 * time.Millisecond // two million deliveries a second
	for range 365 {
		h.Observe(each, aDay)
	}
	if got, want := h.Read().Sum, 365*aDay*each.Seconds(); math.Abs(got/want-1) > 1e-9 {
		t.Errorf("after a year: %v s, want %v", got, want)
	}
}

// A scraper refuses a distribution whose buckets hold more than its count.
func TestReadingNeverFindsMoreInTheClassicBuckets(t *testing.T) {
	var h metric.Histogram
	var writers sync.WaitGroup
	const each = 20_000
	for range 4 {
		writers.Go(func() {
			for i := range each {
				h.Observe(time.Duration(i)*time.Microsecond, 1)
			}
		})
	}
	for last := uint64(0); last < 4*each; {
		d := h.Read()
		classic := uint64(0)
		for _, n := range d.Classic {
			classic += n
		}
		if last = d.Count; classic > last {
			t.Fatalf("%d in the classic buckets, %d in all", classic, last)
		}
	}
	writers.Wait()
}

func TestDistributionsAddUp(t *testing.T) {
	var a, b, both metric.Histogram
	for i := range 100 {
		d := time.Duration(i*i) * time.Millisecond
		both.Observe(d, 1)
		if i%2 == 0 {
			a.Observe(d, 1)
		} else {
			b.Observe(d, 1)
		}
	}
	var none metric.Distribution
	sum, want := none.Plus(a.Read()).Plus(b.Read()), both.Read()
	if sum.Count != want.Count || math.Abs(sum.Sum-want.Sum) > 1e-9 || sum.Zero != want.Zero {
		t.Errorf("got %d, %v, %d; want %d, %v, %d",
			sum.Count, sum.Sum, sum.Zero, want.Count, want.Sum, want.Zero)
	}
	for i := range want.Native {
		if sum.Native[i] != want.Native[i] {
			t.Errorf("native bucket %d: %d, want %d", i, sum.Native[i], want.Native[i])
		}
	}
	for i := range want.Classic {
		if sum.Classic[i] != want.Classic[i] {
			t.Errorf("classic bucket %d: %d, want %d", i, sum.Classic[i], want.Classic[i])
		}
	}
}

func TestStampsTellTheTimeBetweenThem(t *testing.T) {
	const exact = 17 * time.Microsecond // a stamp's unit, rounded up
	start := time.Now()
	for _, d := range []time.Duration{0, time.Millisecond, time.Minute, 9 * time.Hour} {
		// The second pair crosses the end of the numbers, after 19 hours.
		for _, from := range []time.Time{start, start.Add(19 * time.Hour)} {
			got := metric.StampOf(from.Add(d)).Since(metric.StampOf(from))
			if got < d-exact || got > d+exact {
				t.Errorf("got %v, want %v", got, d)
			}
		}
	}
	if got := metric.StampOf(start).Since(metric.StampOf(start.Add(time.Second))); got != 0 {
		t.Errorf("backwards: %v, want 0", got)
	}
	if metric.StampOf(time.Time{}) != 0 || metric.Now() == 0 {
		t.Error("the stamp of no time is not 0, or that of now is")
	}
}

func BenchmarkObserve(b *testing.B) {
	var h metric.Histogram
	for i := 0; b.Loop(); i++ {
		h.Observe(time.Duration(i&0xffff)*time.Microsecond, 1)
	}
}
