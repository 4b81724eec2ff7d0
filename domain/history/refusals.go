package history

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

const (
	// maxFailedReads bounds how many of these cursors are remembered.
	maxFailedReads = 1024
	// failedReadAge is for how long a failed read is remembered. What could not be
	// read may be readable again after a failure of the broker.
	failedReadAge = 10 * time.Second
)

// FailedReads are cursors for which the log was read in vain. They are
// remembered for a while, so that asking the same again costs no reading. When
// there are too many, the oldest is forgotten.
type failedReads struct {
	until map[domain.Cursor]time.Time
	queue []domain.Cursor
}

func (r *failedReads) add(c domain.Cursor, now time.Time) {
	if r.until == nil {
		r.until = make(map[domain.Cursor]time.Time)
	}
	if _, known := r.until[c]; !known {
		if len(r.queue) == maxFailedReads {
			delete(r.until, r.queue[0])
			r.queue = append(r.queue[:0], r.queue[1:]...)
		}
		r.queue = append(r.queue, c)
	}
	r.until[c] = now.Add(failedReadAge)
}

func (r *failedReads) has(c domain.Cursor, now time.Time) bool {
	until, known := r.until[c]
	return known && now.Before(until)
}

// backlogKey is what a refusal to read the backlog is known by.
func backlogKey(c domain.Cursor) domain.Cursor {
	return domain.Cursor{Log: c.Log, Position: c.Position}
}

// lookupKey is what a refused lookup is known by. The time counts: it says
// where the search began, and may be forged.
func lookupKey(c domain.Cursor) domain.Cursor {
	return domain.Cursor{Log: c.Log, Position: c.Position, Time: c.Time}
}

// A barrier is a position in a log at or before which nobody can resume, for a
// while.
type barrier struct {
	log    domain.LogID
	at     domain.Position
	reason domain.GapReason
	until  time.Time
}

func (b *barrier) covers(c domain.Cursor, now time.Time) bool {
	return c.Log == b.log && c.Position <= b.at && now.Before(b.until)
}

// RefuseBacklog remembers that the log could not be read on from a cursor. For
// [domain.UnknownCursor] this concerns the very position; for other reasons
// also all positions before it.
func (h *History) RefuseBacklog(c domain.Cursor, reason domain.GapReason, now time.Time) {
	if reason == domain.UnknownCursor {
		h.failedReads.add(backlogKey(c), now)
	} else if !h.barrier.covers(c, now) {
		h.barrier = barrier{c.Log, c.Position, reason, now.Add(failedReadAge)}
	}
}

// RefuseLookup remembers that a cursor was looked up in vain.
func (h *History) RefuseLookup(c domain.Cursor, now time.Time) {
	h.failedReads.add(lookupKey(c), now)
}

// Refused is the answer to a cursor from which the backlog is not read, for
// the reason. The session gets what the window has, if its position may be
// before that.
func (h *History) Refused(reason domain.GapReason) Answer {
	if reason == domain.UnknownCursor {
		return h.GapAtHead(reason)
	}
	return Answer{Kind: Gap, Reason: reason, Next: h.First(), Cursor: h.Start().Cursor}
}

func (h *History) forgetFailedReads() { h.failedReads, h.barrier = failedReads{}, barrier{} }
