package stream

import "github.com/fanfarebus/fanfare/domain"

// What a stream keeps grows with what the bus carries, so all of it is counted
// in the node's budgets, at about what it takes of the heap: entries with what
// they refer to (entry.size), the ring that they are in, the index by target, the
// ids that dedupe remembers, and landmarks. Sessions are not counted: others
// bound them.

// mapSlot is what an element of a map takes beside its key and value of two
// words or three: a map is from a half to seven eighths full.
const mapSlot = 16

// groupSize is what a target's part in the index takes, beside its numbers.
func groupSize(t domain.Target) int { return 96 + 24 + mapSlot + domain.HeapSize(len(t.String())) }

// indexSize is what a message takes in a window beside itself, if all its targets
// are new.
func indexSize(m *domain.Message) (n int) {
	for _, t := range m.To {
		n += groupSize(t) + wordSize
	}
	return n + entrySize
}

// An account is what a stream has in a budget beside its entries.
type account struct {
	index   int // of the groups with entries, but for those that were read again
	charged int // in all
}

// settle brings the budget up to date with what the stream takes beside its
// entries.
func (s *Stream) settleAccount() {
	now := s.account.index + s.window.size() + s.dedupe.size() + s.gaps.size() + s.known.size() + s.stretch.size()
	if now != s.account.charged {
		s.cfg.Budget.add(now - s.account.charged)
		s.account.charged = now
	}
}

// note adds entry n, the newest, to a group.
func (s *Stream) note(g *group, n uint64) {
	g.entries.push(n)
	s.weigh(g)
}

// weigh brings the account up to date with what a group takes: nothing without
// entries, for then it is there for sessions.
func (s *Stream) weigh(g *group) {
	now, past := 0, false
	if g.entries.len() > 0 {
		now = g.size + g.entries.size()
		past = g.entries.all[g.entries.gone] < s.past.until && s.cfg.Past != nil
	}
	if now == g.charged && past == g.inPast {
		return
	}
	s.charge(g.inPast, -g.charged)
	s.charge(past, now)
	g.charged, g.inPast = now, past
}

// charge counts what the index takes, in the budget of what was read again or in
// the other.
func (s *Stream) charge(past bool, n int) {
	if past {
		s.cfg.Past.add(n)
		return
	}
	s.account.index += n
}

// size is what ids take that dedupe remembers.
func (d *dedupe) size() int { return sightingSize*len(d.ring) + (2*wordSize+mapSlot)*d.peak }

// size is what the stretches take.
func (s stretches) size() int { return 48 * cap(s) }

// A map keeps the room that it once had. It is made anew when it holds a quarter
// of that.
func shrunk[K comparable, V any](m map[K]V, peak *int) map[K]V {
	*peak = max(*peak, len(m))
	if *peak < 256 || 4*len(m) > *peak {
		return m
	}
	anew := make(map[K]V, len(m))
	for k, v := range m {
		anew[k] = v
	}
	*peak = len(m)
	return anew
}
