package client

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// The client imports nothing of this module, so that whoever imports it gets no node;
// hence the pauses of its own.

// stableAfter is how long a session must last not to count as a failure.
const stableAfter = 10 * time.Second

// backoff returns a random time from 0 to a bound. The bound is first, doubled with each
// failure after the first one, and at most most. The time is random over the whole span,
// so that clients that lost the same node do not all connect again at the same time.
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

// retryAfter returns how long the header Retry-After asks to wait; 0 without it. The
// header holds seconds or a date: RFC 9110 §10.2.3.
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

// pause waits for d, or until ctx ends. It reports whether ctx is still alive.
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
