package control

import (
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// index makes a membership found by its user and by its room.
func (t *facts) index(f *fact) {
	if f.key.Kind != Membership {
		return
	}
	byUser, byRoom := f.memberships()
	insertInto(t.rooms, byUser, f, (*fact).room)
	insertInto(t.members, byRoom, f, (*fact).name)
}

func (t *facts) unindex(f *fact) {
	if f.key.Kind != Membership {
		return
	}
	byUser, byRoom := f.memberships()
	takeFrom(t.rooms, byUser, f, (*fact).room)
	takeFrom(t.members, byRoom, f, (*fact).name)
}

func (f *fact) memberships() (byUser, byRoom membership) {
	return membership{f.key.System, f.key.Name}, membership{f.key.System, f.key.Room}
}

func (f *fact) room() string { return f.key.Room }
func (f *fact) name() string { return f.key.Name }

// insertInto adds a fact to a list that is sorted by a part of its key, unless it is there.
func insertInto(lists map[membership][]*fact, k membership, f *fact, part func(*fact) string) {
	list := lists[k]
	i, found := findIn(list, part(f), part)
	if !found {
		lists[k] = slices.Insert(list, i, f)
	}
}

// takeFrom removes a fact from a list, if it is there.
func takeFrom(lists map[membership][]*fact, k membership, f *fact, part func(*fact) string) {
	list := lists[k]
	i, found := findIn(list, part(f), part)
	switch {
	case !found:
	case len(list) == 1:
		delete(lists, k)
	default:
		lists[k] = slices.Delete(list, i, i+1)
	}
}

func findIn(list []*fact, name string, part func(*fact) string) (int, bool) {
	return slices.BinarySearchFunc(list, name, func(f *fact, name string) int {
		return strings.Compare(part(f), name)
	})
}

// refusal returns why a user or a token is not let in, or nil.
func (t *facts) refusal(mono time.Duration, user, jti string, issued time.Time) *Refusal {
	if t.kinds[Block] > 0 {
		if f := t.byKey[Key{Kind: Block, Name: user}]; f.holds(mono) {
			return &Refusal{Kind: Block, Reason: f.value.Reason}
		}
	}
	if jti != "" && t.kinds[RevokeToken] > 0 {
		if f := t.byKey[Key{Kind: RevokeToken, Name: jti}]; f.holds(mono) {
			return &Refusal{Kind: RevokeToken}
		}
	}
	if t.kinds[RevokeUser] > 0 {
		f := t.byKey[Key{Kind: RevokeUser, Name: user}]
		if f.holds(mono) && (issued.IsZero() || issued.UnixMilli() < f.value.Before) {
			return &Refusal{Kind: RevokeUser}
		}
	}
	return nil
}

// roomsOf returns the rooms of a user in a system, sorted.
func (t *facts) roomsOf(mono time.Duration, user string, system domain.System) (rooms []string) {
	for _, f := range t.rooms[membership{system.String(), user}] {
		if f.holds(mono) {
			rooms = append(rooms, f.key.Room)
		}
	}
	return rooms
}

// membersOf returns at most limit memberships of a room whose users come after a name.
func (t *facts) membersOf(mono time.Duration, system domain.System, room, after string, limit int) (all []Fact) {
	list := t.members[membership{system.String(), room}]
	i, found := findIn(list, after, (*fact).name)
	if found {
		i++
	}
	for ; i < len(list) && len(all) < limit; i++ {
		if f := list[i]; f.holds(mono) {
			all = append(all, f.public(mono))
		}
	}
	return all
}

// public returns a fact as others see it.
func (f *fact) public(mono time.Duration) Fact {
	return Fact{Key: f.key, Value: f.value, Left: f.end - mono}
}
