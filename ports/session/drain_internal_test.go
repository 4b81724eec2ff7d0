package session

import (
	"math"
	"testing"
	"time"
)

func TestTurnsOfADrainAreInOrderHoweverLongItIs(t *testing.T) {
	for _, span := range []time.Duration{1, time.Second, 20 * time.Second, 30 * time.Hour, math.MaxInt64 / 2} {
		for _, of := range []int{1, 3, 100_000} {
			last := time.Duration(-1)
			for i := range of {
				at := turnAt(span, i, of)
				if at < last || at < 0 || at > span {
					t.Fatalf("turn %d of %d over %v is at %v, after %v", i, of, span, at, last)
				}
				last = at
			}
		}
	}
}
