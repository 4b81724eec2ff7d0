package load

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestHistogramIsRightToWithinAThirtySecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(18*time.Minute)).Draw(t, "d"))
		var h histogram
		h.add(d)
		h.add(time.Hour)
		if got := h.quantile(0.5); got < d || got > d+d/32 {
			t.Fatalf("%v became %v", d, got)
		}
	})
}

func TestQuantiles(t *testing.T) {
	var h histogram
	if h.quantile(0.5) != 0 {
		t.Error("of nothing")
	}
	for i := range 60 {
		h.add(time.Duration(i + 1))
	}
	for q, want := range map[float64]time.Duration{0: 0, 0.5: 30, 0.9: 54, 1: 60} {
		if got := h.quantile(q); got != want {
			t.Errorf("%v: %d, want %d", q, got, want)
		}
	}
}
