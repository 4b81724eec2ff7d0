package transport

import (
	"context"
	"math/rand/v2"
	"time"
)

// A backoff makes pauses that double from least to most, each shortened at
// random by up to a half so that many who failed together do not come back
// together.
type backoff struct {
	least, most time.Duration
	upper       time.Duration // of the next pause; 0 means least
}

// reset makes the next pause a first one.
func (b *backoff) reset() { b.upper = 0 }

// pause waits, and says whether ctx lasted.
func (b *backoff) pause(ctx context.Context) bool {
	b.upper = max(b.upper, b.least)
	wait := jitter(b.upper)
	b.upper = min(2*b.upper, b.most)
	return sleep(ctx, wait)
}

// jitter shortens d at random by up to a half.
func jitter(d time.Duration) time.Duration { return d - rand.N(d/2+1) }

// sleep waits for d, and says whether ctx lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
