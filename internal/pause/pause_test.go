package pause_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/internal/pause"
)

func TestForEndsWithItsTimeOrItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if !pause.For(ctx, 20*time.Second) || time.Since(start) != 20*time.Second {
			t.Errorf("the wait of 20 s took %v", time.Since(start))
		}
		if pause.For(ctx, time.Hour) || time.Since(start) != time.Minute {
			t.Errorf("the wait did not end with its context, but after %v", time.Since(start))
		}
		if pause.For(ctx, 0) {
			t.Error("a context that has ended counts as alive")
		}
	})
}

func TestBackoffDoublesUpToItsMostAndBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := pause.Backoff{Min: 100 * time.Millisecond, Max: time.Second}
		check := func(most time.Duration) {
			t.Helper()
			start := time.Now()
			b.Wait(t.Context())
			if took := time.Since(start); took < most/2-1 || took > most {
				t.Errorf("a pause of %v, want between half of %v and that", took, most)
			}
		}
		for _, most := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
			check(most * time.Millisecond)
		}
		b.Reset()
		check(100 * time.Millisecond)
	})
}
