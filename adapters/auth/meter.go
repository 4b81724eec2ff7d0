package auth

import (
	"sync"
	"time"
)

// A meter counts what is published with a key. It is safe for concurrent use.
type meter struct {
	rate KeyRate

	mu   sync.Mutex
	used float64   // messages that count at last; guarded by mu
	last time.Time // of the last take; guarded by mu
}

// take counts n messages, and returns 0; or it returns after how long it could count them. See
// [Keys.Take].
func (m *meter) take(n int, now time.Time) (wait time.Duration) {
	most := float64(m.rate.Messages) // that may come at once
	perSecond := most / m.rate.Per.Seconds()
	m.mu.Lock()
	defer m.mu.Unlock()
	if ago := now.Sub(m.last).Seconds(); ago > 0 {
		m.used = max(0, m.used-perSecond*ago)
		m.last = now
	}
	need := min(float64(max(n, 1)), most)
	if over := m.used + need - most; over > almostNothing {
		return time.Duration(over / perSecond * float64(time.Second))
	}
	m.used += float64(n)
	return 0
}

// almostNothing is what is ignored of a message, since sums of fractions are not exact.
const almostNothing = 1e-6
