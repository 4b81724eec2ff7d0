package session

import (
	"errors"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// A Rate bounds what clients send. Bursts of two seconds' worth are allowed.
type Rate struct {
	Messages float64 // per second
	Bytes    float64 // per second
}

// Or returns r with what is zero taken from fallback.
func (r Rate) Or(fallback Rate) Rate {
	if r.Messages == 0 {
		r.Messages = fallback.Messages
	}
	if r.Bytes == 0 {
		r.Bytes = fallback.Bytes
	}
	return r
}

// Check says what is wrong with the rate, if anything.
func (r Rate) Check() error {
	if r.Messages < 0 || r.Bytes < 0 {
		return errors.New("must not be negative")
	}
	return nil
}

// A Meter holds a client to a Rate. It is safe for concurrent use.
type Meter struct{ messages, bytes *rate.Limiter }

// NewMeter allows two seconds' worth at once, and never less than one message
// of the largest size.
func NewMeter(r Rate, largest int) *Meter {
	return &Meter{
		messages: rate.NewLimiter(rate.Limit(r.Messages), max(int(math.Ceil(2*r.Messages)), 1)),
		bytes:    rate.NewLimiter(rate.Limit(r.Bytes), max(int(2*r.Bytes), largest)),
	}
}

// Allow counts a message that costs as much as so many, and says whether it is
// within the rate. One that costs more than a burst counts as a burst.
func (m *Meter) Allow(now time.Time, cost, bytes int) bool {
	return m.messages.AllowN(now, min(cost, m.messages.Burst())) && m.bytes.AllowN(now, bytes)
}

// full says that the meter has forgotten all it has seen.
func (m *Meter) full(now time.Time) bool {
	return m == nil || m.messages.TokensAt(now) >= float64(m.messages.Burst()) &&
		m.bytes.TokensAt(now) >= float64(m.bytes.Burst())
}
