package client

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// good is how long a connection lasts that did not fail.
const good = 10 * time.Second

// backoff is a random time of at most first, doubled with each failure after
// the first one, and at most most. It is random over the whole span: those who
// lost the same node must not come back together.
func backoff(first, most time.Duration, failures int) time.Duration {
	span := first
	for range failures - 1 {
		if span >= most/2 {
			span = most
			break
		}
		span *= 2
	}
	return time.Duration(rand.Float64() * float64(min(span, most)))
}

// retryAfter is what an answer says about when to come back; 0 for nothing.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return millis(integer(seconds) * 1000)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), longest)
	}
	return 0
}

// pause waits, and reports false if ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
