package session

import "time"

// A Bucket holds its owner to a rate. There are several for each session, so it is
// small: a Meter is not.
type Bucket struct {
	used float64 // of what is allowed at once
	last time.Time
}

// Take says whether one more is within the rate per second; at once, as many
// are as the rate allows over the span.
func (b *Bucket) Take(now time.Time, rate float64, span time.Duration) bool {
	b.used = max(0, b.used-rate*now.Sub(b.last).Seconds())
	b.last = now
	if b.used+1 > max(span.Seconds()*rate, 1) {
		return false
	}
	b.used++
	return true
}

// idle says whether the bucket has forgotten all it has seen.
func (b *Bucket) idle(now time.Time, rate float64) bool {
	return b.used <= rate*now.Sub(b.last).Seconds()
}
