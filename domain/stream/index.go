package stream

import (
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// An index finds, for each target, the sessions that listen to it and the
// window's entries that are for it.
type index struct {
	groups   map[domain.Target]*group
	peak     int    // see history.Shrunk
	everyone *group // of domain.Everyone: every attachment is in it
	visits   uint64 // counts traversals, see group.visited
	size     int    // bytes that the groups with entries take
}

// A group is one target's part of the index. It exists while it has members or
// entries.
type group struct {
	target  domain.Target
	members []*membership
	entries history.Numbers
	visited uint64 // the last traversal that has come here, by index.visits
	size    int    // what the group takes beside its numbers
	charged int    // bytes that were charged for it, see Stream.weigh
}

// A membership is one session's part in a group.
type membership struct {
	*group
	of          *Attachment
	slot        int    // its index in group.members
	since       uint64 // entries before this number are not for the session
	offeredFrom uint64 // the session has been offered entries from this number on through other targets

	after domain.Location // the session is offered what comes after it
	rides bool            // the session's ride, if it has one, is for this target
}

func newIndex() index {
	x := index{groups: make(map[domain.Target]*group)}
	x.everyone = x.ensureGroup(domain.Everyone)
	return x
}

// ensureGroup returns the target's ensureGroup, and makes it if need be.
func (x *index) ensureGroup(t domain.Target) *group {
	g := x.groups[t]
	if g == nil {
		g = &group{target: t, size: groupSize(t)}
		x.groups[t] = g
		x.peak = max(x.peak, len(x.groups))
	}
	return g
}

// groupsOf returns the groups of a message's targets, each once, in their
// order.
func (x *index) groupsOf(m *domain.Message) []*group {
	x.visits++
	all := make([]*group, 0, len(m.To))
	for _, t := range m.To {
		if g := x.ensureGroup(t); g.visited != x.visits {
			g.visited = x.visits
			all = append(all, g)
		}
	}
	return all
}

// dropIfEmpty forgets a group without members and entries.
func (x *index) dropIfEmpty(g *group) {
	if len(g.members) == 0 && g.entries.Len() == 0 && g != x.everyone {
		delete(x.groups, g.target)
		x.groups = history.Shrunk(x.groups, &x.peak)
	}
}

func (g *group) add(m *membership) {
	m.group, m.slot = g, len(g.members)
	g.members = append(g.members, m)
}

func (g *group) remove(m *membership) {
	last := len(g.members) - 1
	moved := g.members[last]
	g.members[m.slot], moved.slot = moved, m.slot
	g.members[last] = nil
	g.members = g.members[:last]
	if cap(g.members) > 64 && 8*last < cap(g.members) { // many have left
		g.members = append(make([]*membership, 0, 2*last), g.members...)
	}
}
