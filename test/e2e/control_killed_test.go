package e2e_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/test/broker"
)

const (
	killedUsers    = 1000
	alsoElsewhere  = 100 // of these have a second session, on another node
	cameBack       = 50  // of these come back on another node at once
	neverOnTheDead = 20
)

// When a node is killed, the others learn who is not there any more, and services learn
// it from the events: of exactly those who did not come back. The node that is killed is
// the one that speaks for all.
func TestPresenceOfAKilledNode(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t)
	c := newCluster(t, 3, r.URL("redis-streams"), settings{"PRESENCE_SYSTEMS": "orders", "EVENTS": "orders"})
	p := c.controlled()
	dead := p.speaker(t)
	var living []place
	for _, n := range p.nodes {
		if n != dead {
			living = append(living, n)
		}
	}
	users := func(from, to int) (all []string) {
		for i := from; i < to; i++ {
			all = append(all, fmt.Sprintf("u%d", i))
		}
		return all
	}
	p.crowd(t, dead.addr, "&rooms=orders/hall", users(0, killedUsers))
	p.crowd(t, living[0].addr, "", users(0, alsoElsewhere))
	p.crowd(t, living[1].addr, "", users(killedUsers, killedUsers+neverOnTheDead))
	p.wantPresent(t, 20*time.Second, "", users(0, killedUsers+neverOnTheDead)...)
	p.wantPresent(t, 20*time.Second, "hall", users(0, killedUsers)...)

	killed := time.Now()
	for _, n := range c.nodes {
		if n.name == dead.name {
			n.kill()
		}
	}
	p.nodes, p.front = living, living[0].addr
	p.crowd(t, living[1].addr, "", users(alsoElsewhere, alsoElsewhere+cameBack))
	stay := append(users(0, alsoElsewhere+cameBack), users(killedUsers, killedUsers+neverOnTheDead)...)
	p.wantPresent(t, 40*time.Second, "", stay...)
	t.Logf("presence was right on all nodes %v after the kill", time.Since(killed).Round(100*time.Millisecond))
	p.wantPresent(t, time.Second, "hall")
	for _, n := range living {
		p.wantLive(t, time.Second, n, living[0].name, living[1].name)
		if r, err := p.ask(n.addr, http.MethodPost, "/v1/systems/orders/presence", `{"users":["u0","u120","u500","u1010"]}`); err != nil ||
			!slices.Equal(namesIn(r.body), []string{"u0", "u120", "u1010"}) {
			t.Errorf("%s finds %s %v", n.name, r.body, err)
		}
	}

	gone := users(alsoElsewhere+cameBack, killedUsers)
	var said publishedEvents
	eventually(t, 10*time.Second, "everybody who is gone is said to be offline", func() error {
		said = eventsOf(t, r)
		for _, user := range gone {
			if said["fanfare.user.offline "+user] == nil {
				return fmt.Errorf("%s is not", user)
			}
		}
		if said["fanfare.room.vacated hall"] == nil {
			return fmt.Errorf("hall is not vacated")
		}
		return nil
	})
	for _, user := range stay {
		if said["fanfare.user.offline "+user] != nil {
			t.Errorf("%s is there, and was said to be offline", user)
		}
	}
	for _, user := range users(0, killedUsers+neverOnTheDead) {
		if said["fanfare.user.online "+user] == nil {
			t.Errorf("%s was never said to be online", user)
		}
	}
	offline, differing := said.repeated("fanfare.user.offline")
	t.Logf("of %d who went %d were said twice, %d of these with another id", len(gone), offline, differing)
	if offline > len(gone)/20 {
		t.Errorf("%d offline events are repeated", offline)
	}
	online, differing := said.repeated("fanfare.user.online")
	t.Logf("of %d who came %d were said twice, %d of these with another id", killedUsers+neverOnTheDead, online, differing)
	// A speaker that has not known everybody for long when it begins announces all who are
	// there, each once, with ids of their own. On a machine that is busy it may be such a one.
	if differing != 0 && differing != len(stay) {
		t.Errorf("%d repeated online events have another id, want none, or those of all %d who are there", differing, len(stay))
	}
	for _, user := range gone {
		if ids := said["fanfare.user.online "+user]; len(slices.Compact(slices.Clone(ids))) != 1 {
			t.Errorf("%s, who is gone, was said to be online under several ids: %q", user, ids)
		}
	}
}

func namesIn(body string) []string {
	var w presence
	_ = json.Unmarshal([]byte(body), &w) // nobody is in what is no answer
	return w.names()
}

// speaker returns the node that publishes the events: of those that live, the one whose
// incarnation began first.
func (p *controlled) speaker(t *testing.T) (first place) {
	t.Helper()
	eventually(t, 20*time.Second, "all nodes know each other", func() error {
		var all struct {
			Nodes []struct{ Name, Incarnation string }
		}
		if err := p.read(p.nodes[0].addr, "/v1/nodes", &all); err != nil {
			return err
		}
		if len(all.Nodes) != len(p.nodes) {
			return fmt.Errorf("there are %+v", all.Nodes)
		}
		smallest := slices.MinFunc(all.Nodes, func(a, b struct{ Name, Incarnation string }) int { return cmp.Compare(a.Incarnation, b.Incarnation) })
		first = p.nodes[slices.IndexFunc(p.nodes, func(n place) bool { return n.name == smallest.Name })]
		return nil
	})
	return first
}

// crowd lets many users connect, some at a time.
func (p *controlled) crowd(t *testing.T, addr, query string, users []string) []*guest {
	t.Helper()
	var work errgroup.Group
	work.SetLimit(20)
	all := make([]*guest, len(users))
	for i, user := range users {
		token := p.pass(user, nil)
		work.Go(func() (err error) {
			all[i], err = p.connect(overV1, addr, token, query)
			return err
		})
	}
	err := work.Wait()
	for _, d := range all {
		if d != nil && d.shut != nil {
			t.Cleanup(d.shut)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// publishedEvents are the ids of the events that were published, by type and subject.
type publishedEvents map[string][]string

// repeated returns how many events of a type were published more than once, and how many
// of these under several ids.
func (e publishedEvents) repeated(kind string) (n, differing int) {
	for key, ids := range e {
		if !strings.HasPrefix(key, kind+" ") || len(ids) == 1 {
			continue
		}
		n++
		if slices.ContainsFunc(ids, func(id string) bool { return id != ids[0] }) {
			differing++
		}
	}
	return n, differing
}

// eventsOf reads the events of orders from the bus.
func eventsOf(t *testing.T, r *broker.RedisServer) publishedEvents {
	t.Helper()
	entries, err := r.Client().XRange(context.Background(), "fanfare.orders.events", "-", "+").Result()
	must(t, err)
	events := make(publishedEvents)
	for _, e := range entries {
		event, err := readEvent(e)
		must(t, err)
		events[event.Type+" "+event.Subject] = append(events[event.Type+" "+event.Subject], event.ID)
	}
	return events
}

// A cloudEvent is one that tells who came and went.
type cloudEvent struct{ SpecVersion, ID, Type, Source, Subject string }

func readEvent(e redis.XMessage) (event cloudEvent, err error) {
	for _, field := range e.Values {
		text, _ := field.(string)
		if json.Unmarshal([]byte(text), &event) == nil && event.SpecVersion == "1.0" {
			if event.ID == "" || event.Source != "/fanfare/orders" || event.Subject == "" {
				err = fmt.Errorf("event %s", text)
			}
			return event, err
		}
	}
	return event, fmt.Errorf("entry %v holds no event", e.Values)
}

// Users whose node drains come back on another one, and have never been away: nobody who
// watches and no service is told that they left.
func TestDrainIsNoLeave(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t)
	c := newCluster(t, 2, r.URL("redis-streams"), settings{"PRESENCE_SYSTEMS": "orders", "EVENTS": "orders"})
	p := c.controlled()
	p.speaker(t) // when all know each other
	users := make([]string, 20)
	for i := range users {
		users[i] = fmt.Sprintf("u%d", i)
	}
	crowd := p.crowd(t, p.nodes[0].addr, "&rooms=orders/hall", users)
	watcher := p.mustConnect(t, overV1, p.nodes[1].addr, p.pass("watcher", nil), "")
	must(t, watcher.send(`{"op":"presence","ref":1,"system":"orders","room":"hall","watch":"users"}`))
	p.wantPresent(t, 10*time.Second, "hall", users...)
	watcher.wants(t, "that all are there", func(n notice) bool { return n.Op == "presence" && n.Count == len(users) })
	c.nodes[0].terminate()
	for i, d := range crowd {
		d.ends(t, 1001)
		crowd[i] = p.mustConnect(t, overV1, p.nodes[1].addr, p.pass(users[i], nil), "&rooms=orders/hall")
	}
	if code := c.nodes[0].exit(15 * time.Second); code != 0 {
		t.Errorf("the drained node's exit code is %d", code)
	}
	p.nodes = p.nodes[1:]
	p.wantLive(t, 5*time.Second, p.nodes[0], p.nodes[0].name)
	last := p.mustConnect(t, overV1, p.nodes[0].addr, p.pass("last", nil), "&rooms=orders/hall")
	last.shut() // who leaves now is told after those who had left before
	watcher.wants(t, "that the last one has left", hasLeft("last"))
	eventually(t, 10*time.Second, "the last one is said to be offline", func() error {
		if eventsOf(t, r)["fanfare.user.offline last"] == nil {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	for _, user := range users {
		if n, ok := watcher.heard(hasLeft(user)); ok {
			t.Errorf("the watcher was told %+v", n)
		}
		if eventsOf(t, r)["fanfare.user.offline "+user] != nil {
			t.Errorf("%s was said to be offline", user)
		}
	}
	p.wantPresent(t, 5*time.Second, "hall", users...)
}
