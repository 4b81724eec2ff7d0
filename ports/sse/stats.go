package sse

import "sync/atomic"

// Stats are what a Server counts.
type Stats struct {
	Sessions  int    // now
	FramesOut uint64 // events written
	WritesOut uint64 // writes that carried them, and heartbeats
	BytesOut  uint64 // of these writes
	FellBack  uint64 // times an outbox was filled again after it had been full
	Dropped   uint64 // notices to sessions without room for them; these are closed
	Stopped   uint64 // clients that came back though they should not: answered 204
	SentAway  uint64 // clients that could not be let in, and were told when to come back
}

// counters are the live Stats.
type counters struct {
	sessions                                                       atomic.Int64
	framesOut, writesOut, bytesOut, fellBack, dropped, stop, later atomic.Uint64
}

func (c *counters) stats() Stats {
	return Stats{
		Sessions: int(c.sessions.Load()), FramesOut: c.framesOut.Load(), WritesOut: c.writesOut.Load(), BytesOut: c.bytesOut.Load(),
		FellBack: c.fellBack.Load(), Dropped: c.dropped.Load(), Stopped: c.stop.Load(),
		SentAway: c.later.Load(),
	}
}
