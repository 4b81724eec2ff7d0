// Package sessiontest has a control plane for tests of sessions: one node, which knows what
// the test tells it.
package sessiontest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/session"
)

// An Attached is a user in a place.
type Attached struct {
	Place control.Place
	User  string
}

// A Control is a [session.Control] that a test sets. The zero Control knows nothing. It is
// safe for concurrent use. It counts who is attached, and says in Faults what no registry
// may do.
type Control struct {
	mu       sync.Mutex
	refusals map[string]*control.Refusal // by user, and by "jti:" and a token
	rooms    map[Attached]bool
	attached map[Attached]int
	watched  map[control.Place]int
	versions map[control.Place]uint64 // of the places that were ever watched
	told     map[control.Place]uint64 // the versions that Change has returned
	faults   []string
}

var _ session.Control = (*Control)(nil)

// New gives the settings of a registry a Control, and presence for one system. What no
// registry may do fails the test when it ends.
func New(t testing.TB, cfg *session.Config, presence domain.System) *Control {
	c := &Control{}
	cfg.Control = c
	cfg.Presence = func(s domain.System) bool { return s == presence }
	t.Cleanup(func() {
		for _, fault := range c.Faults() {
			t.Error(fault)
		}
	})
	return c
}

// Check returns what Refuse or RefuseToken has set.
func (c *Control) Check(user, token string, _ time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.refusals[user]; r != nil {
		return r
	}
	if r := c.refusals["jti:"+token]; r != nil {
		return r
	}
	return nil
}

// Refuse blocks a user.
func (c *Control) Refuse(user, reason string) {
	c.refuse(user, &control.Refusal{Kind: control.Block, Reason: reason})
}

// Admit undoes Refuse.
func (c *Control) Admit(user string) { c.refuse(user, nil) }

// RefuseToken revokes a token.
func (c *Control) RefuseToken(token string) {
	c.refuse("jti:"+token, &control.Refusal{Kind: control.RevokeToken})
}

// AdmitToken undoes RefuseToken.
func (c *Control) AdmitToken(token string) { c.refuse("jti:"+token, nil) }

func (c *Control) refuse(name string, r *control.Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusals == nil {
		c.refusals = make(map[string]*control.Refusal)
	}
	c.refusals[name] = r
}

// Rooms returns the rooms that SetMember has set.
func (c *Control) Rooms(user string, system domain.System) (rooms []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for m := range c.rooms {
		if m.User == user && m.Place.System == system {
			rooms = append(rooms, m.Place.Room)
		}
	}
	slices.Sort(rooms)
	return rooms
}

// SetMember makes a user a member of a room, or no more.
func (c *Control) SetMember(system domain.System, room, user string, member bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rooms == nil {
		c.rooms = make(map[Attached]bool)
	}
	m := Attached{control.Place{System: system, Room: room}, user}
	if delete(c.rooms, m); member {
		c.rooms[m] = true
	}
}

// Attach counts.
func (c *Control) Attach(system domain.System, room, user string, delta int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attached == nil {
		c.attached = make(map[Attached]int)
	}
	at := Attached{control.Place{System: system, Room: room}, user}
	if n := c.attached[at]; c.versions[at.Place] > 0 && (n == 0) != (n+delta == 0) {
		c.versions[at.Place]++
	}
	switch n := c.attached[at] + delta; {
	case n < 0:
		c.faults = append(c.faults, fmt.Sprintf("%s has %d sessions in %v", user, n, at.Place))
	case n == 0:
		delete(c.attached, at)
	default:
		c.attached[at] = n
	}
}

// Attached returns who is attached to what, with how many sessions.
func (c *Control) Attached() map[Attached]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.attached)
}

// Who returns who is in a place.
func (c *Control) Who(p control.Place, limit int) (page control.Page) {
	c.mu.Lock()
	defer c.mu.Unlock()
	page.Version = c.versions[p]
	for at, n := range c.attached {
		if at.Place == p {
			page.Count++
			page.Users = append(page.Users, control.Present{User: at.User, Sessions: n})
		}
	}
	slices.SortFunc(page.Users, func(a, b control.Present) int {
		if a.User < b.User {
			return -1
		}
		return 1
	})
	page.Users, page.Complete = page.Users[:min(limit, page.Count)], true
	return page
}

// Watch counts.
func (c *Control) Watch(p control.Place) { c.watch(p, 1) }

// Unwatch undoes Watch.
func (c *Control) Unwatch(p control.Place) { c.watch(p, -1) }

func (c *Control) watch(p control.Place, delta int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watched == nil {
		c.watched = make(map[control.Place]int)
		c.versions, c.told = make(map[control.Place]uint64), make(map[control.Place]uint64)
	}
	if c.watched[p] == 0 {
		c.versions[p]++
		c.told[p] = c.versions[p]
	}
	if c.watched[p] += delta; c.watched[p] < 0 {
		c.faults = append(c.faults, fmt.Sprintf("%v is watched %d times", p, c.watched[p]))
	}
	if c.watched[p] == 0 {
		delete(c.watched, p)
	}
}

// Change returns the change of a place since the last call, or since it is watched. Who came
// and went is for the test to say.
func (c *Control) Change(p control.Place, joined, left []string) control.Change {
	count := c.Who(p, 0).Count
	c.mu.Lock()
	defer c.mu.Unlock()
	from, to := c.told[p], c.versions[p]
	if c.told != nil {
		c.told[p] = to
	}
	return control.Change{Place: p, From: from, To: to, Count: count, Joined: joined, Left: left}
}

// Watched returns how many places are watched.
func (c *Control) Watched() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.watched)
}

// Faults returns what was wrong with the calls so far.
func (c *Control) Faults() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.faults)
}
