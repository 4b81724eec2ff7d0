package stream

import "github.com/fanfarebus/fanfare/domain"

// A group is one target's place in the index: the sessions that listen to it
// and the window's entries that are for it. It exists while it has either.
type group struct {
	target  domain.Target
	members []*member
	entries numbers
	mark    uint64 // see Stream.groups
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
}

func (g *group) empty() bool { return len(g.members) == 0 && len(g.entries) == 0 }
