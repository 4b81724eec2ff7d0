package transport

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/fanfarebus/fanfare/domain"
)

// Stats count what a [Transport] has done since it was made, and say how it is.
type Stats struct {
	// Published counts messages that the broker took, and PublishErrors those that
	// it did not take or of which that is not known.
	Published, PublishErrors uint64
	// Batches counts reads that returned records, of all subscriptions together,
	// and Entries the records in them.
	Batches, Entries uint64
	// Redelivered counts messages or batches handed out again after a nack.
	Redelivered uint64
	// Interruptions counts how often a subscription lost its feed.
	Interruptions uint64
	// Missing counts how often sequence numbers were missing, Late the messages
	// that were dropped because of theirs, and HighWaterMarks those that were
	// published; see package sequence.
	Missing, Late, HighWaterMarks uint64
	// Gaps counts the gaps that were passed on.
	Gaps map[domain.GapReason]uint64
	// Lost counts messages that consumer groups have lost, where the driver is a
	// [LossCounter]: the bus has trimmed them before they were acked.
	Lost uint64
	// Lagging is how many subscriptions lag now, as [Transport.Deaf] means it.
	Lagging int
}

// Stats returns the counters as they are now. The map is the caller's.
func (t *Transport) Stats() Stats {
	c := &t.counts
	c.mu.Lock()
	gaps := maps.Clone(c.gaps)
	c.mu.Unlock()
	lost := uint64(0)
	if driver, ok := t.driver.(LossCounter); ok {
		lost = driver.Lost()
	}
	return Stats{
		Published:      c.published.Load(),
		PublishErrors:  c.publishErrors.Load(),
		Batches:        c.batches.Load(),
		Entries:        c.entries.Load(),
		Redelivered:    c.redelivered.Load(),
		Interruptions:  c.interruptions.Load(),
		Missing:        c.missing.Load(),
		Late:           c.late.Load(),
		HighWaterMarks: c.highWaterMarks.Load(),
		Gaps:           gaps,
		Lost:           lost,
		Lagging:        len(t.DeafTopics()),
	}
}

// Plus adds what two Transports have counted.
func (s Stats) Plus(other Stats) Stats {
	sum := Stats{
		Published:      s.Published + other.Published,
		PublishErrors:  s.PublishErrors + other.PublishErrors,
		Batches:        s.Batches + other.Batches,
		Entries:        s.Entries + other.Entries,
		Redelivered:    s.Redelivered + other.Redelivered,
		Interruptions:  s.Interruptions + other.Interruptions,
		Missing:        s.Missing + other.Missing,
		Late:           s.Late + other.Late,
		HighWaterMarks: s.HighWaterMarks + other.HighWaterMarks,
		Lost:           s.Lost + other.Lost,
		Gaps:           make(map[domain.GapReason]uint64),
		Lagging:        s.Lagging + other.Lagging,
	}
	for _, gaps := range []map[domain.GapReason]uint64{s.Gaps, other.Gaps} {
		for reason, n := range gaps {
			sum.Gaps[reason] += n
		}
	}
	return sum
}

// counters are what Stats reads.
type counters struct {
	published, publishErrors      atomic.Uint64
	batches, entries              atomic.Uint64
	redelivered, interruptions    atomic.Uint64
	missing, late, highWaterMarks atomic.Uint64

	mu   sync.Mutex
	gaps map[domain.GapReason]uint64 // guarded by mu
}

// countGaps counts gaps; times may be 0.
func (c *counters) countGaps(reason domain.GapReason, times int) {
	if times == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gaps == nil {
		c.gaps = make(map[domain.GapReason]uint64)
	}
	c.gaps[reason] += uint64(times)
}
