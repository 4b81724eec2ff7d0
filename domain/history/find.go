package history

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Find says where a cursor is: which entry follows it, or what has to be done
// to know that, or that it cannot be known. It changes nothing, and asks for
// the time only where the answer depends on it.
func (h *History) Find(c domain.Cursor, now func() time.Time) Answer {
	switch {
	case h.isAhead(&c):
		return Answer{Kind: Ahead, Cursor: c}
	case c.Log == h.head.Log:
		return h.findInLog(&c, now)
	case h.cfg.HasLog:
		return h.findInOrigins(&c, now)
	default:
		return h.findByFingerprint(&c, now)
	}
}

// Unknown is the answer to a cursor that fits nowhere.
func (h *History) Unknown() Answer {
	if h.cfg.HasLog {
		return h.GapAtHead(domain.UnknownCursor)
	}
	return h.GapAtHead(domain.Lossy)
}

// GapAtHead is the answer that tells a gap and continues with what comes next.
func (h *History) GapAtHead(reason domain.GapReason) Answer {
	return Answer{Kind: Gap, Reason: reason, Next: h.Next(), Cursor: h.head.Cursor}
}

// isAhead reports whether this history may still come to where the cursor is.
func (h *History) isAhead(c *domain.Cursor) bool {
	if c.Log == h.successor && h.successor != 0 {
		return true
	}
	at, known := h.head.PositionIn(c.Log)
	return known && c.Position > at
}

// findInLog finds a cursor in the present log, at or before the head.
func (h *History) findInLog(c *domain.Cursor, now func() time.Time) Answer {
	first, start := h.currentLog()
	afterGap := h.logStartsInWindow() && first == h.logStart+1 // start is the gap's position
	switch {
	case h.rewound.has(c.Position) && !h.holds(c, first):
		// The log has been at this position twice, once before it went back.
		// All that is certain is the gap where it did.
		if h.logStartsInWindow() {
			return h.acrossGap(h.logStart, start)
		}
		return h.GapAtHead(domain.UnknownCursor)
	case c.Position == start.Position && c.ID != 0 && afterGap:
		// A session that was told the gap has a cursor without an id. This one is
		// a message's, from before the gap.
		return h.acrossGap(h.logStart, *c)
	case c.Position < start.Position && h.mayReadBacklog(c):
		return h.needBacklog(c, now)
	case c.Position < start.Position:
		return Answer{Kind: Gap, Reason: domain.Trimmed, Next: first, Cursor: start}
	}
	n := h.window.after(first, c.Position)
	before := start
	if n > first {
		before = h.window.point(n - 1).Cursor
	}
	if before.Position == c.Position && differ(before.ID, c.ID) {
		return h.GapAtHead(domain.UnknownCursor)
	}
	return resumedAt(n, c)
}

// currentLog returns the first entry that continues the present log without a
// gap or move before it, and the cursor that it follows.
func (h *History) currentLog() (first uint64, start domain.Cursor) {
	first, start = h.window.start, h.Start().Cursor
	for _, n := range [...]uint64{h.logStart, h.movedAt} { // entry n is the gap, or the move
		if n >= first && n < h.Next() {
			first, start = n+1, h.window.point(n).Cursor
		}
	}
	return first, start
}

// logStartsInWindow reports whether the present log began at a gap that is
// still in the window. Entries before it belong to another log, or to another
// life of this one.
func (h *History) logStartsInWindow() bool { return h.window.has(h.logStart) }

// holds reports whether the window has the very message that the cursor names,
// as entry first or a later one.
func (h *History) holds(c *domain.Cursor, first uint64) bool {
	n := h.window.after(first, c.Position)
	if n == first || c.ID == 0 {
		return false
	}
	e := h.window.at(n - 1)
	p := e.Point()
	return p.Position == c.Position && p.ID == c.ID
}

// mayReadBacklog reports whether the window can be continued at its old end by
// what the cursor's log has.
func (h *History) mayReadBacklog(c *domain.Cursor) bool {
	return h.cfg.Backlog && h.cfg.HasLog && h.Continues(c.Log)
}

func (h *History) needBacklog(c *domain.Cursor, now func() time.Time) Answer {
	switch at := now(); {
	case h.failedReads.has(backlogKey(*c), at):
		return h.Refused(domain.UnknownCursor)
	case h.barrier.covers(*c, at):
		return h.Refused(h.barrier.reason)
	}
	return Answer{Kind: NeedsBacklog, Cursor: *c}
}

// findInOrigins finds a cursor in another log than the present one: the bus was
// moved since.
func (h *History) findInOrigins(c *domain.Cursor, now func() time.Time) Answer {
	from, to, found := h.segments.of(c.Log, h.Next())
	if h.logStartsInWindow() {
		from = max(from, h.logStart+1) // the entries before it do not lead here
	}
	from = max(from, h.window.start)
	if !found || from >= to {
		return h.needLookup(c, now)
	}
	n := h.window.search(from, to, func(n uint64) bool {
		e := h.window.at(n)
		at := e.Point()
		p, _ := at.PositionIn(c.Log)
		return p > c.Position
	})
	if n == from {
		return h.findBefore(c, from, now)
	}
	before := h.window.point(n - 1)
	at, _ := before.PositionIn(c.Log)
	_, continues := h.head.PositionIn(c.Log)
	if n == to && !continues && at < c.Position || at == c.Position && differ(before.ID, c.ID) {
		return h.Unknown()
	}
	return resumedAt(n, c)
}

// findBefore finds a cursor before entry n, the first one in the window that
// has a position in the cursor's log.
func (h *History) findBefore(c *domain.Cursor, n uint64, now func() time.Time) Answer {
	if n > h.window.start {
		if before := h.window.at(n - 1); before.IsGap() {
			return h.acrossGap(n-1, *c)
		}
		// Entry n is the first one that can be for the session: those before it
		// belong to other logs.
		unknown := h.Unknown()
		unknown.Next, unknown.Cursor = n, h.window.point(n).Cursor
		return unknown
	}
	before := h.Start()
	if start, known := before.PositionIn(c.Log); known && start <= c.Position {
		if start == c.Position && differ(before.ID, c.ID) {
			return h.Unknown()
		}
		return resumedAt(n, c)
	}
	if h.mayReadBacklog(c) {
		return h.needBacklog(c, now)
	}
	return h.needLookup(c, now)
}

// needLookup answers a cursor of which the window has no trace. It is unknown
// if nothing can be looked up, if nothing was copied from its log, or if it was
// looked up in vain a moment ago.
func (h *History) needLookup(c *domain.Cursor, now func() time.Time) Answer {
	foreign := h.origins.complete && !h.IsOrigin(c.Log)
	if !h.cfg.Backlog || !h.cfg.HasLog || h.logStartsInWindow() || foreign ||
		h.failedReads.has(lookupKey(*c), now()) {
		return h.Unknown()
	}
	return Answer{Kind: NeedsLookup, Cursor: *c}
}

// findByFingerprint finds a cursor that another node gave, on a bus without a
// log.
func (h *History) findByFingerprint(c *domain.Cursor, now func() time.Time) Answer {
	if n, ok := h.fingerprints.after(c.ID, h.window.start); ok {
		return resumedAt(n, c)
	}
	at := now()
	mayCome := h.head.Log == h.own && c.ID != 0 && at.After(h.fingerprintsFrom) &&
		at.Sub(c.Time) < h.cfg.FingerprintWait
	if !mayCome {
		return h.Unknown()
	}
	answer := Answer{Kind: Ahead, Cursor: *c}
	if c.Time.After(at) {
		answer.Cursor.Time = at // the other node's clock is fast: this is no reason to wait longer
	}
	return answer
}

func resumedAt(n uint64, c *domain.Cursor) Answer {
	return Answer{Kind: At, Next: n, Cursor: *c, Resumed: true}
}

// acrossGap continues with entry n, which is a gap.
func (h *History) acrossGap(n uint64, at domain.Cursor) Answer {
	return Answer{Kind: At, Next: n, Cursor: at}
}

// differ reports whether two ids, which are 0 where they are not known, are
// known to be different.
func differ(a, b uint64) bool { return a != 0 && b != 0 && a != b }
