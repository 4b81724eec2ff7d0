package stream

import "github.com/fanfarebus/fanfare/domain"

// A group is one target's place in the index: the sessions that listen to it
// and the window's entries that are for it. It exists while it has either.
type group struct {
	target  domain.Target
	members []*member
	entries numbers
	mark    uint64 // see Stream.groups
	size    int    // what it takes beside its numbers
	charged int    // to an account: see Stream.weigh
	inPast  bool   // that of what was read again
}

// A member is one session's part in a group.
type member struct {
	*group
	of    *Attachment
	slot  int    // its place in group.members
	since uint64 // entries before this number are not for it
	heard uint64 // from this number on the session has heard it before
}

func (g *group) add(m *member) {
	m.group, m.slot = g, len(g.members)
	g.members = append(g.members, m)
}

func (g *group) remove(m *member) {
	last := len(g.members) - 1
	moved := g.members[last]
	g.members[m.slot], moved.slot = moved, m.slot
	g.members[last] = nil
	g.members = g.members[:last]
	if cap(g.members) > 64 && 8*last < cap(g.members) { // many have left
		g.members = append(make([]*member, 0, 2*last), g.members...)
	}
}

func (g *group) empty() bool { return len(g.members) == 0 && g.entries.len() == 0 }

// groups returns the groups of a message's targets, each once, in their order.
func (s *Stream) groups(m *domain.Message) []*group {
	s.mark++
	all := make([]*group, 0, len(m.To))
	for _, t := range m.To {
		if g := s.group(t); g.mark != s.mark {
			g.mark = s.mark
			all = append(all, g)
		}
	}
	return all
}

// group returns the target's group, made if need be.
func (s *Stream) group(t domain.Target) *group {
	g := s.index[t]
	if g == nil {
		g = &group{target: t, size: groupSize(t)}
		s.index[t] = g
		s.indexPeak = max(s.indexPeak, len(s.index))
	}
	return g
}

// drop forgets a group that nobody needs.
func (s *Stream) drop(g *group) {
	if g.empty() && g != s.everyone {
		delete(s.index, g.target)
		s.index = shrunk(s.index, &s.indexPeak)
	}
}
