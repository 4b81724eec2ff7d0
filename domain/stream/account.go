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
	now := 0
	if g.entries.Len() > 0 {
		now = g.size + g.entries.Size()
	}
	s.index.size += now - g.charged
	g.charged = now
}
