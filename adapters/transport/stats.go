package transport

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/fanfarebus/fanfare/domain"
)

// Stats count what a Transport has done since it was made, and say how it is.
type Stats struct {
	Published     uint64 // messages the broker took
	PublishErrors uint64 // messages it did not take, or of which that is not known
	Batches       uint64 // reads that returned records, all subscriptions together
	Entries       uint64 // records in them
	Redelivered   uint64 // messages or batches handed out again after a nack
	Interruptions uint64 // times a subscription lost its feed
	Missing       uint64 // times that numbers were missing, on a bus without a log
	Late          uint64 // messages dropped since their numbers came before, or after they were missed
	Marks         uint64 // high-water marks published
	Gaps          map[domain.GapReason]uint64
	Lagging       int // subscriptions that are behind now, as Deaf means it
}

// Stats returns the counters as they are now. The map is the caller's.
func (t *Transport) Stats() Stats {
	c := &t.counts
	c.mu.Lock()
	breaks := maps.Clone(c.breaks)
	c.mu.Unlock()
	return Stats{
		Published:     c.published.Load(),
		PublishErrors: c.publishErrors.Load(),
		Batches:       c.batches.Load(),
		Entries:       c.entries.Load(),
		Redelivered:   c.redelivered.Load(),
		Interruptions: c.interruptions.Load(),
		Missing:       c.holes.Load(),
		Late:          c.late.Load(),
		Marks:         c.marks.Load(),
		Gaps:          breaks,
		Lagging:       len(t.DeafTopics()),
	}
}

// Plus adds what two Transports have counted.
func (s Stats) Plus(other Stats) Stats {
	sum := Stats{
		Published:     s.Published + other.Published,
		PublishErrors: s.PublishErrors + other.PublishErrors,
		Batches:       s.Batches + other.Batches,
		Entries:       s.Entries + other.Entries,
		Redelivered:   s.Redelivered + other.Redelivered,
		Interruptions: s.Interruptions + other.Interruptions,
		Missing:       s.Missing + other.Missing,
		Late:          s.Late + other.Late,
		Marks:         s.Marks + other.Marks,
		Gaps:          make(map[domain.GapReason]uint64),
		Lagging:       s.Lagging + other.Lagging,
	}
	for _, breaks := range []map[domain.GapReason]uint64{s.Gaps, other.Gaps} {
		for reason, n := range breaks {
			sum.Gaps[reason] += n
		}
	}
	return sum
}

type counters struct {
	published, publishErrors   atomic.Uint64
	batches, entries           atomic.Uint64
	redelivered, interruptions atomic.Uint64
	holes, late, marks         atomic.Uint64

	mu     sync.Mutex
	breaks map[domain.GapReason]uint64 // guarded by mu
}

func (c *counters) countBreak(reason domain.GapReason, times int) {
	if times == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.breaks == nil {
		c.breaks = make(map[domain.GapReason]uint64)
	}
	c.breaks[reason] += uint64(times)
}
