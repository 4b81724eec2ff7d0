package ws

import "sync/atomic"

// Stats are what a Server counts.
type Stats struct {
	MessagesIn  uint64 // from clients
	BytesIn     uint64 // of these messages
	FramesIn    uint64 // of clients: parts of messages, pings, pongs and closes
	Breaches    uint64 // sessions that ended for their frames: too many, or none of WebSocket's
	FramesOut   uint64 // offered and taken: messages and notices
	WritesOut   uint64 // WebSocket writes that carried them
	BytesOut    uint64 // of these writes
	Errors      uint64 // ops that were answered with an error, and plain messages dropped
	RateLimited uint64 // of these, for their rate
	FellBack    uint64 // times an outbox was filled again after it had been full
	Dropped     uint64 // notices to sessions without room for them; these are closed
}

// counters are the live Stats.
type counters struct {
	messagesIn, bytesIn, framesOut, writesOut, bytesOut atomic.Uint64
	errors, rateLimited, fellBack, dropped              atomic.Uint64
	framesIn, breaches                                  atomic.Uint64
}

func (c *counters) stats() Stats {
	return Stats{
		MessagesIn: c.messagesIn.Load(), BytesIn: c.bytesIn.Load(),
		FramesOut: c.framesOut.Load(), WritesOut: c.writesOut.Load(), BytesOut: c.bytesOut.Load(),
		Errors: c.errors.Load(), RateLimited: c.rateLimited.Load(),
		FramesIn: c.framesIn.Load(), Breaches: c.breaches.Load(),
		FellBack: c.fellBack.Load(), Dropped: c.dropped.Load(),
	}
}
