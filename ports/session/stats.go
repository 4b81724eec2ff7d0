package session

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Codes with which sessions end. Those below 4000 are RFC 6455's.
const (
	CloseGoingAway    = 1001 // the node drains
	CloseProtocol     = 1002 // the client's frames are none of WebSocket's
	CloseAbnormal     = 1006 // the client went without a word
	CloseNotUTF8      = 1007 // a text or a close reason of the client's
	ClosePolicy       = 1008 // ten errors in a row, or too many frames
	CloseTooBig       = 1009 // what the client sent
	CloseTryLater     = 1013 // a plain client sent more than is consumed
	CloseExpired      = 4001 // the token
	CloseForbidden    = 4003 // the new token allows nothing here, or a plain client not to send
	CloseSlow         = 4008 // the client does not read
	CloseDisconnected = 4009 // by Disconnect
	CloseReplaced     = 4010 // the user has too many sessions, and this is the oldest
)

// Stats are what a Registry counts, for all ports together.
type Stats struct {
	Sessions int // now
	Users    int // of these sessions

	Opened  uint64
	Closed  map[int]uint64 // by close code; 1006 without one, 0 for codes that clients made up
	Refused map[int]uint64 // requests, by status

	Reasons map[string]uint64 // why requests, and new tokens of sessions, were refused
	Unnamed map[string]uint64 // requests whose proxy did not say whose they are, by why not
}

// counters are the live Stats.
type counters struct {
	opened atomic.Uint64

	mu      sync.Mutex
	closed  map[int]uint64    // guarded by mu
	refused map[int]uint64    // guarded by mu
	reasons map[string]uint64 // at most maxReasons; guarded by mu
	unnamed map[string]uint64 // guarded by mu
}

// maxReasons is more than there are: an Authenticator that made up ever new ones
// would fill the memory.
const maxReasons = 100

func newCounters() *counters {
	return &counters{closed: make(map[int]uint64), refused: make(map[int]uint64),
		reasons: make(map[string]uint64), unnamed: make(map[string]uint64)}
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
	return Stats{Opened: c.opened.Load(), Closed: maps.Clone(c.closed), Refused: maps.Clone(c.refused),
		Reasons: maps.Clone(c.reasons), Unnamed: maps.Clone(c.unnamed)}
}
