package load

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestHistogramHasTwoSignificantDigits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "d"))
		var h histogram
		h.add(d)
		h.add(2 * time.Hour)
		if got := h.quantile(0.5); got < d || got > d+d/128 {
			t.Fatalf("%v became %v", d, got)
		}
	})
}

func TestQuantiles(t *testing.T) {
	var h histogram
	if h.quantile(0.5) != 0 || h.curve() != nil {
		t.Error("of nothing")
	}
	for i := range 60 {
		h.add(time.Duration(i + 1))
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 30, 0.9: 54, 1: 60} {
		if got := h.quantile(q); got != want {
			t.Errorf("%v: %d, want %d", q, got, want)
		}
	}
	curve := h.curve()
	for i, p := range curve[1:] {
		if p.Quantile <= curve[i].Quantile || p.Latency < curve[i].Latency {
			t.Errorf("the curve falls at %+v after %+v", p, curve[i])
		}
	}
	if last := curve[len(curve)-1]; last != (Point{1, 60}) {
		t.Errorf("the curve ends at %+v", last)
	}
}
