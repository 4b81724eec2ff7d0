package session

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Stats are what a [Registry] counts, for all ports together.
type Stats struct {
	Sessions int // open now
	Users    int // that have an open session

	Opened uint64
	// Closed counts by close code: CloseAbnormal if there was none, 0 if the client made
	// one up, and CloseDisconnected for all codes that applications choose.
	Closed   map[int]uint64
	Rejected map[int]uint64 // requests, by status

	Reasons map[string]uint64 // of refused requests, and of refused new tokens of sessions
	// Unnamed counts requests of which the proxy did not say who the client is: by
	// "missing" (no header) and "unreadable" (a header that names no address).
	Unnamed map[string]uint64
}

// counters are the live Stats.
type counters struct {
	opened atomic.Uint64

	mu       sync.Mutex
	closed   map[int]uint64    // guarded by mu
	rejected map[int]uint64    // guarded by mu
	reasons  map[string]uint64 // at most maxReasons; guarded by mu
	unnamed  map[string]uint64 // guarded by mu
}

// maxReasons is more than there are. An [Authenticator] that made up a new reason
// for each token would otherwise fill the memory.
const maxReasons = 100

func newCounters() *counters {
	return &counters{closed: make(map[int]uint64), rejected: make(map[int]uint64),
		reasons: make(map[string]uint64), unnamed: make(map[string]uint64)}
}

func (c *counters) countClosed(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if code >= minCustomCode && code <= maxCustomCode {
		code = CloseDisconnected
	}
	c.closed[code]++
}

func (c *counters) countRejection(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rejected[status]++
}

func (c *counters) countReason(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.reasons[reason]; !known && len(c.reasons) >= maxReasons {
		reason = "other"
	}
	c.reasons[reason]++
}

func (c *counters) countUnnamed(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unnamed[why]++
}

func (c *counters) stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Opened: c.opened.Load(), Closed: maps.Clone(c.closed), Rejected: maps.Clone(c.rejected),
		Reasons: maps.Clone(c.reasons), Unnamed: maps.Clone(c.unnamed),
	}
}
