// Package pause waits: for a time, for a time with jitter, and for times that
// grow with each failure. All waits end early when a context does.
package pause

import (
	"context"
	"math/rand/v2"
	"time"
)

// For waits for d, or until ctx ends. It reports whether ctx is still alive,
// so that a loop can be written as `for pause.For(ctx, d) { … }`.
func For(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Jitter shortens d at random by up to a half, so that many who failed
// together do not come back together.
func Jitter(d time.Duration) time.Duration { return d - rand.N(d/2+1) }

// A Backoff makes pauses that double from Min to Max, each shortened by
// [Jitter]. It is not safe for concurrent use.
type Backoff struct {
	Min, Max time.Duration

	upper time.Duration // of the next pause; 0 means Min
}

// Reset makes the next pause a first one.
func (b *Backoff) Reset() { b.upper = 0 }

// Wait pauses, and reports whether ctx is still alive.
func (b *Backoff) Wait(ctx context.Context) bool { return For(ctx, b.Next()) }

// Next returns how long the next pause is, for callers that wait for something else, too.
func (b *Backoff) Next() time.Duration {
	b.upper = max(b.upper, b.Min)
	d := Jitter(b.upper)
	b.upper = min(2*b.upper, b.Max)
	return d
}
