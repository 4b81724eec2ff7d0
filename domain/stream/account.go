package stream

import (
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// What a stream keeps grows with what the bus carries, so all of it is charged
// to the node's budgets, at about what it takes of the heap: entries with what
// they refer to (Entry.Size), the ring that they are in, the index by target,
// the ids that dedupe remembers, and fingerprints. Sessions are not charged:
// other limits bound them.

const wordSize = 8

// groupSize is what a target's group takes, beside its numbers.
func groupSize(t domain.Target) int {
	return 96 + 24 + history.MapSlot + domain.HeapSize(len(t.String()))
}

// indexSize is the most that a message takes in a window beside itself: as if
// all its targets were new.
func indexSize(m *domain.Message) (n int) {
	for _, t := range m.To {
		n += groupSize(t) + wordSize
	}
	return n + entrySize
}

var entrySize = history.EntrySize[indexed]()

// settleAccount charges the budget for what the stream takes beside its
// entries.
func (s *Stream) settleAccount() {
	now := s.index.size + s.history.Overhead() + s.dedupe.Size()
	if now != s.charged {
		s.cfg.Budget.add(now - s.charged)
		s.charged = now
	}
}

// weigh charges for what a group takes now. Without entries that is nothing:
// then it exists for sessions.
func (s *Stream) weigh(g *group) {
	now, backlog := 0, false
	if g.entries.Len() > 0 {
		now = g.size + g.entries.Size()
		backlog = g.entries.First() < s.backlog.end && s.cfg.Backlog != nil
	}
	if now == g.charged && backlog == g.backlog {
		return
	}
	s.chargeIndex(g.backlog, -g.charged)
	s.chargeIndex(backlog, now)
	g.charged, g.backlog = now, backlog
}

// chargeIndex adds n bytes to what the index takes, in the budget of the
// backlog or in the other.
func (s *Stream) chargeIndex(backlog bool, n int) {
	if backlog {
		s.cfg.Backlog.add(n)
		return
	}
	s.index.size += n
}

// budgetOf returns the budget that pays for an entry.
func (s *Stream) budgetOf(e *entry) *Budget {
	if e.Payload.backlog {
		return s.cfg.Backlog
	}
	return s.cfg.Budget
}
