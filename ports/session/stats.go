package session

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Codes with which sessions end. Those below 4000 are RFC 6455's.
const (
	CloseGoingAway    = 1001 // the node drains
	CloseAbnormal     = 1006 // the client went without a word
	ClosePolicy       = 1008 // ten errors in a row
	CloseTooBig       = 1009 // what the client sent
	CloseTryLater     = 1013 // a plain client sent more than is consumed
	CloseExpired      = 4001 // the token
	CloseForbidden    = 4003 // the new token allows nothing here, or a plain client not to send
	CloseSlow         = 4008 // the client does not read
	CloseDisconnected = 4009 // by Disconnect
	CloseReplaced     = 4010 // the user has too many sessions, and this is the oldest
)

// Stats are what a Desk counts, for all ports together.
type Stats struct {
	Sessions int // now
	Users    int // of these sessions

	Opened  uint64
	Closed  map[int]uint64 // by close code; 1006 without one, 0 for codes that clients made up
	Refused map[int]uint64 // requests, by status
}

// counters are the live Stats.
type counters struct {
	opened atomic.Uint64

	mu      sync.Mutex
	closed  map[int]uint64 // guarded by mu
	refused map[int]uint64 // guarded by mu
}

func newCounters() *counters {
	return &counters{closed: make(map[int]uint64), refused: make(map[int]uint64)}
}

func (c *counters) countClosed(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed[code]++
}

func (c *counters) countRefused(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[status]++
}

func (c *counters) stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Opened: c.opened.Load(), Closed: maps.Clone(c.closed), Refused: maps.Clone(c.refused)}
}
