package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/broker"
)

// An outage is a cluster whose bus is not always there.
type outage struct {
	*controlled
	c      *cluster
	r      *broker.RedisServer
	scheme string
	crowd  []*guest
	users  []string
}

// While the bus is down for longer than a node may be silent, nobody is declared dead,
// and who comes and goes meanwhile is known when it is back.
func TestNobodyDiesWithTheBus(t *testing.T) {
	needs(t, "redis-server")
	var all []*outage
	for _, scheme := range []string{"redis-streams", "redis"} { // at the same time, since this is mostly waiting
		all = append(all, newOutage(t, scheme))
	}
	each := func(do func(*outage)) {
		for _, o := range all {
			do(o)
		}
	}
	each(func(o *outage) { o.r.Kill() })
	nobodyDies(t, 13*time.Second, "while the bus is gone", all)
	each(func(o *outage) { o.r.Restart() })
	nobodyDies(t, 7*time.Second, "when the bus is back", all)
	each(func(o *outage) { o.r.Freeze() })
	nobodyDies(t, 13*time.Second, "while the bus is frozen", all)
	each(func(o *outage) {
		o.crowd[0].shut()
		newcomer := o.controlled.crowd(t, o.nodes[1].addr, "", []string{"newcomer"})
		o.crowd, o.users = append(o.crowd[1:], newcomer...), append(o.users[1:], "newcomer")
		o.r.Thaw()
	})
	each(func(o *outage) { o.judge(t) })
}

func newOutage(t *testing.T, scheme string) *outage {
	t.Helper()
	r := broker.Redis(t)
	c := newCluster(t, 3, r.URL(scheme), settings{
		"CONTROL_HEARTBEAT": "2s", "CONTROL_DEAD_AFTER": "6s", "PRESENCE_SYSTEMS": "orders", "EVENTS": "orders",
	})
	o := &outage{controlled: c.controlled(), c: c, r: r, scheme: scheme}
	for i, n := range o.nodes {
		mine := []string{fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i), fmt.Sprintf("c%d", i)}
		o.users = append(o.users, mine...)
		o.crowd = append(o.crowd, o.controlled.crowd(t, n.addr, "", mine)...)
	}
	o.wantPresent(t, 20*time.Second, "", o.users...)
	return o
}

// nobodyDies looks for a while: all nodes say all the time that all nodes live and all
// users are there.
func nobodyDies(t *testing.T, during time.Duration, when string, all []*outage) {
	t.Helper()
	over := time.After(during)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, o := range all {
			for _, n := range o.nodes {
				if names, err := o.live(n.addr); err != nil || len(names) != len(o.nodes) {
					t.Fatalf("%s, %s: %s says that these nodes live: %v, %v", o.scheme, when, n.name, names, err)
				}
				if w, err := o.who(n.addr, ""); err != nil || w.Count != len(o.users) {
					t.Fatalf("%s, %s: %s says that these users are there: %v, %v", o.scheme, when, n.name, w.names(), err)
				}
			}
		}
		select {
		case <-tick.C:
		case <-over:
			return
		}
	}
}

// judge wants the nodes to know who is there now, and nobody to have heard of more than
// happened.
func (o *outage) judge(t *testing.T) {
	t.Helper()
	o.wantPresent(t, 30*time.Second, "", o.users...)
	if deaths := o.c.metric("fanfare_control_deaths_total"); deaths != 0 {
		t.Errorf("%s: %v nodes were declared dead", o.scheme, deaths)
	}
	for _, d := range o.crowd {
		if err := d.stays(); err != nil {
			t.Error(err)
		}
	}
	if o.scheme != "redis-streams" {
		return // nobody has kept the events
	}
	said := eventsOf(t, o.r)
	for _, user := range o.users {
		if said["fanfare.user.offline "+user] != nil {
			t.Errorf("%s was said to be offline", user)
		}
	}
}
