package redisconn

import (
	"math"
	"sync"
	"sync/atomic"
)

// DefaultReadConnections is how many feeds of a driver have a connection of their
// own. The URL parameter read_connections changes it.
const DefaultReadConnections = 16

// Slots counts the feeds that have a connection of their own, and limits their
// number. It is safe for concurrent use.
type Slots struct {
	limit int32
	taken atomic.Int32
}

// NewSlots returns Slots of which limit are free.
func NewSlots(limit int) *Slots { return &Slots{limit: int32(min(limit, math.MaxInt32))} }

// Take takes a slot and reports whether one was free. The caller gives the slot
// back by calling release; a second call of release does nothing.
func (s *Slots) Take() (release func(), ok bool) {
	if s.taken.Add(1) > s.limit {
		s.taken.Add(-1)
		return nil, false
	}
	return sync.OnceFunc(func() { s.taken.Add(-1) }), true
}
