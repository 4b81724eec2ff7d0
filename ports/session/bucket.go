package session

import "time"

// A Bucket bounds the rate of one thing. Its zero value is ready. It is not safe for
// concurrent use. Each session has several, so it is smaller than a [Meter].
type Bucket struct {
	used float64   // how much of what may come at once was used, as of last
	last time.Time // of the last Take
}

// Take counts one more, and reports whether that is within the rate per second. As
// many as the rate allows over the span may come at once, and never less than one.
func (b *Bucket) Take(now time.Time, rate float64, span time.Duration) bool {
	b.used = max(0, b.used-rate*now.Sub(b.last).Seconds())
	b.last = now
	if b.used+1 > max(span.Seconds()*rate, 1) {
		return false
	}
	b.used++
	return true
}

// idle reports whether nothing that was taken counts any more.
func (b *Bucket) idle(now time.Time, rate float64) bool {
	return b.used <= rate*now.Sub(b.last).Seconds()
}
