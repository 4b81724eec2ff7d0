package sse

import (
	"sync/atomic"

	"github.com/fanfarebus/fanfare/internal/metric"
	"github.com/fanfarebus/fanfare/ports/session"
)

// Stats are what a [Server] counts.
type Stats struct {
	Sessions  int    // open now
	FramesOut uint64 // events written
	Messages  uint64 // of these, messages
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
	stopped, sentAway, messagesOut atomic.Uint64

	delay metric.Histogram // of the messages
}

// sent counts what was written.
func (c *counters) sent(b *bundle) {
	c.framesOut.Add(b.events)
	c.messagesOut.Add(b.messages)
	b.delays.Observe(&c.delay)
}

func (c *counters) stats() Stats {
	return Stats{
		Sessions:  int(c.sessions.Load()),
		Messages:  c.messagesOut.Load(), // before FramesOut, in which they are too
		FramesOut: c.framesOut.Load(), WritesOut: c.writesOut.Load(), BytesOut: c.bytesOut.Load(),
		FellBack: c.fellBack.Load(), Dropped: c.dropped.Load(),
		Stopped: c.stopped.Load(), SentAway: c.sentAway.Load(),
	}
}

// Output returns what was written since New.
func (s *Server) Output() session.Output {
	st := s.counters.stats()
	return session.Output{
		Messages: st.Messages, Notices: st.FramesOut - st.Messages,
		Writes: st.WritesOut, Bytes: st.BytesOut, Delay: s.counters.delay.Read(),
	}
}
