package ws

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/olahol/melody"
)

// Codes with which sessions end, beside those of RFC 6455.
const (
	CloseGoingAway    = melody.CloseGoingAway       // the node drains
	ClosePolicy       = melody.ClosePolicyViolation // ten errors in a row
	CloseTooBig       = melody.CloseMessageTooBig   // what the client sent
	CloseExpired      = 4001                        // the token
	CloseForbidden    = 4003                        // the new token allows nothing here
	CloseSlow         = 4008                        // the client does not read
	CloseDisconnected = 4009                        // by Disconnect
	CloseReplaced     = 4010                        // the user has too many sessions, and this is the oldest
)

// Stats are what a Server counts.
type Stats struct {
	Sessions int // now
	Users    int // of these sessions

	Opened      uint64
	Closed      map[int]uint64 // by close code; 1006 without one, 0 for codes that clients made up
	Refused     map[int]uint64 // before the upgrade, by status
	MessagesIn  uint64         // from clients
	BytesIn     uint64         // of these messages
	FramesOut   uint64         // offered and taken: messages and notices
	WritesOut   uint64         // WebSocket writes that carried them
	BytesOut    uint64         // of these writes
	Errors      uint64         // ops that were answered with an error, and plain messages dropped
	RateLimited uint64         // of these, for their rate
	FellBack    uint64         // times an outbox was filled again after it had been full
	Dropped     uint64         // notices to sessions without room for them; these are closed
}

// counters are the live Stats.
type counters struct {
	opened, messagesIn, bytesIn, framesOut, writesOut, bytesOut atomic.Uint64
	errors, rateLimited, fellBack, dropped                      atomic.Uint64

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
	return Stats{
		Opened: c.opened.Load(), Closed: maps.Clone(c.closed), Refused: maps.Clone(c.refused),
		MessagesIn: c.messagesIn.Load(), BytesIn: c.bytesIn.Load(),
		FramesOut: c.framesOut.Load(), WritesOut: c.writesOut.Load(), BytesOut: c.bytesOut.Load(),
		Errors: c.errors.Load(), RateLimited: c.rateLimited.Load(),
		FellBack: c.fellBack.Load(), Dropped: c.dropped.Load(),
	}
}
