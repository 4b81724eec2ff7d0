package ws

import "time"

// A bucket holds one goroutine to a rate. The zero bucket is full: it allows two
// seconds' worth at once. Every session has some, so it is small.
type bucket struct {
	used float64 // of the two seconds' worth
	last time.Time
}

// take says whether one more is within the rate per second.
func (b *bucket) take(now time.Time, rate float64) bool {
	b.used = max(0, b.used-rate*now.Sub(b.last).Seconds())
	b.last = now
	if b.used+1 > max(2*rate, 1) {
		return false
	}
	b.used++
	return true
}
