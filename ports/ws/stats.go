package ws

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Stats are what a [Server] counts.
type Stats struct {
	MessagesIn uint64 // messages from clients
	BytesIn    uint64 // bytes of these messages
	FramesIn   uint64 // frames from clients: parts of messages, pings, pongs and closes
	Breaches   uint64 // sessions closed because of their frames: too many, or invalid ones
	FramesOut  uint64 // messages and notices that were sent
	WritesOut  uint64 // WebSocket writes that carried them
	BytesOut   uint64 // bytes of these writes
	FellBack   uint64 // times an outbox was filled again after it had been full
	Dropped    uint64 // notices for which an outbox had no room; its session is closed
	Slow       int64  // sessions whose client does not read as fast as it is sent to, now

	// Errors counts ops answered with an error, and plain clients' messages dropped.
	Errors map[Code]uint64
}

// counters are the live Stats.
type counters struct {
	messagesIn, bytesIn, framesOut, writesOut, bytesOut atomic.Uint64
	fellBack, dropped                                   atomic.Uint64
	framesIn, breaches, messagesOut                     atomic.Uint64
	slow                                                atomic.Int64

	mu     sync.Mutex
	errors map[Code]uint64 // guarded by mu
}

// sent counts what was written.
func (c *counters) sent(t tally) {
	c.writesOut.Add(t.writes)
	c.framesOut.Add(t.frames)
	c.messagesOut.Add(t.messages)
	c.bytesOut.Add(t.bytes)
}

func (c *counters) countError(code Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.errors == nil {
		c.errors = make(map[Code]uint64)
	}
	c.errors[code]++
}

func (c *counters) stats() Stats {
	c.mu.Lock()
	errors := maps.Clone(c.errors)
	c.mu.Unlock()
	return Stats{
		Errors:     errors,
		MessagesIn: c.messagesIn.Load(), BytesIn: c.bytesIn.Load(),
		FramesOut: c.framesOut.Load(), WritesOut: c.writesOut.Load(), BytesOut: c.bytesOut.Load(),
		FramesIn: c.framesIn.Load(), Breaches: c.breaches.Load(),
		FellBack: c.fellBack.Load(), Dropped: c.dropped.Load(), Slow: c.slow.Load(),
	}
}
