package session

import (
	"errors"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// A Rate bounds what clients send. Two seconds' worth may come at once.
type Rate struct {
	Messages float64 // per second
	Bytes    float64 // per second
}

// Or returns r with fields that are zero taken from fallback.
func (r Rate) Or(fallback Rate) Rate {
	if r.Messages == 0 {
		r.Messages = fallback.Messages
	}
	if r.Bytes == 0 {
		r.Bytes = fallback.Bytes
	}
	return r
}

// Check returns what is wrong with the rate, if anything.
func (r Rate) Check() error {
	if r.Messages < 0 || r.Bytes < 0 {
		return errors.New("must not be negative")
	}
	return nil
}

// A Meter holds a client to a Rate. It is safe for concurrent use.
type Meter struct{ messages, bytes *rate.Limiter }

// NewMeter returns a Meter that allows two seconds' worth at once, and never less
// than one message of the largest size, in bytes.
func NewMeter(r Rate, largest int) *Meter {
	return &Meter{
		messages: rate.NewLimiter(rate.Limit(r.Messages), max(int(math.Ceil(2*r.Messages)), 1)),
		bytes:    rate.NewLimiter(rate.Limit(r.Bytes), max(int(2*r.Bytes), largest)),
	}
}

// Allow counts a message, and reports whether it is within the rate. The message
// counts as cost messages, or as the most that may come at once if that is less.
func (m *Meter) Allow(now time.Time, cost, bytes int) bool {
	return m.messages.AllowN(now, min(cost, m.messages.Burst())) && m.bytes.AllowN(now, bytes)
}

// full reports whether nothing that was sent counts any more. A nil meter is full.
func (m *Meter) full(now time.Time) bool {
	return m == nil || m.messages.TokensAt(now) >= float64(m.messages.Burst()) &&
		m.bytes.TokensAt(now) >= float64(m.bytes.Burst())
}
