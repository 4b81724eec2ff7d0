package sse

import "sync/atomic"

// Stats are what a [Server] counts.
type Stats struct {
	Sessions  int    // open now
	FramesOut uint64 // events written
	WritesOut uint64 // writes that carried them, and heartbeats
	BytesOut  uint64 // bytes of these writes
	FellBack  uint64 // times an outbox was filled again after it had been full
	Dropped   uint64 // notices for which an outbox had no room; its session is closed
	Stopped   uint64 // clients that came back although they were told not to: answered 204
	SentAway  uint64 // clients that could not be let in, and were told when to come back
}

// counters are the live Stats.
type counters struct {
	sessions                       atomic.Int64
	framesOut, writesOut, bytesOut atomic.Uint64
	fellBack, dropped              atomic.Uint64
	stopped, sentAway              atomic.Uint64
}

func (c *counters) stats() Stats {
	return Stats{
		Sessions:  int(c.sessions.Load()),
		FramesOut: c.framesOut.Load(), WritesOut: c.writesOut.Load(), BytesOut: c.bytesOut.Load(),
		FellBack: c.fellBack.Load(), Dropped: c.dropped.Load(),
		Stopped: c.stopped.Load(), SentAway: c.sentAway.Load(),
	}
}
