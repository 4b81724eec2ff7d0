package stream

import (
	"math"

	"github.com/fanfarebus/fanfare/domain"
)

// An index finds, for each target, the sessions that listen to it. The window
// has an index of its own, of the entries that are for a target: so messages for
// nobody here leave nothing in this one.
type index struct {
	groups   map[domain.Target]*group
	peak     int    // see shrunk
	everyone *group // of domain.Everyone: every attachment is in it
	taps     []*tap // operators who look at the stream, see Tap
}

// A group is one target's part of the index. It exists while it has members.
type group struct {
	target  domain.Target
	members []member
	few     [2]member // where members are while they are few
}

// A member is an attachment and its part in the group. The attachment stands
// here, too, since who offers a message to many reads it and nothing else.
type member struct {
	of *Attachment
	*membership
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

	ahead uint64 // during Attachment.fill: the next entry for the target; nothingAhead if there is none
	near  uint64 // an entry for the target that was found last, see history.NextFor
}

// wasOfferedFrom notes that the session, which began at entry first, was offered
// what is for the target up to entry next. An earlier JoinSince may have noted the
// same, and since is no more where it began then.
func (m *membership) wasOfferedFrom(first, next uint64) {
	if m.offeredFrom == 0 || m.offeredFrom == math.MaxUint64 {
		m.offeredFrom = m.since
	}
	m.offeredFrom = max(m.offeredFrom, first)
	m.since = max(m.since, next)
}

// nothingAhead is a number that no entry has.
const nothingAhead = math.MaxUint64

func newIndex() index {
	x := index{groups: make(map[domain.Target]*group)}
	x.everyone = x.ensureGroup(domain.Everyone)
	return x
}

// ensureGroup returns the target's group, and makes it if need be.
func (x *index) ensureGroup(t domain.Target) *group {
	g := x.groups[t]
	if g == nil {
		g = &group{target: t}
		g.members = g.few[:0]
		x.groups[t] = g
		x.peak = max(x.peak, len(x.groups))
	}
	return g
}

// dropIfEmpty forgets a group without members.
func (x *index) dropIfEmpty(g *group) {
	if len(g.members) == 0 && g != x.everyone {
		delete(x.groups, g.target)
		x.groups = shrunk(x.groups, &x.peak)
	}
}

// shrunk returns the map, or a copy with less room if the map holds less than a
// quarter of what it held at its peak, which shrunk keeps up to date: a Go map
// keeps the room that it once had.
func shrunk[K comparable, V any](m map[K]V, peak *int) map[K]V {
	*peak = max(*peak, len(m))
	if *peak < 256 || 4*len(m) > *peak {
		return m
	}
	smaller := make(map[K]V, len(m))
	for k, v := range m {
		smaller[k] = v
	}
	*peak = len(m)
	return smaller
}

func (g *group) add(m *membership) {
	m.group, m.slot = g, len(g.members)
	g.members = append(g.members, member{m.of, m})
}

func (g *group) remove(m *membership) {
	last := len(g.members) - 1
	moved := g.members[last]
	g.members[m.slot], moved.slot = moved, m.slot
	g.members[last] = member{}
	g.members = g.members[:last]
	if cap(g.members) > 64 && 8*last < cap(g.members) { // many have left
		g.members = append(make([]member, 0, 2*last), g.members...)
	}
}
