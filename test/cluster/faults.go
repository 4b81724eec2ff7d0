package cluster

import (
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/test/internal/faulty"
)

// BusDown lets the bus answer nobody until Heal: publishing fails, what nodes
// followed is interrupted.
func (c *Cluster) BusDown() {
	c.tl.add("", "the bus goes down")
	c.setDown(true)
}

func (c *Cluster) setDown(down bool) {
	c.mu.Lock()
	c.down = down
	c.mu.Unlock()
	c.bus.Set(func(f *faulty.Faults) { f.Down = down })
}

// Interrupt breaks every node's subscriptions once. With a log they go on where
// they stopped; without one, each is a gap.
func (c *Cluster) Interrupt() {
	c.tl.add("", "all subscriptions break")
	c.bus.Interrupt()
}

// Forget lets the bus lose its logs, as one does that keeps nothing on disk
// and is started anew. Members of a Subscriber's group end with them.
func (c *Cluster) Forget() {
	c.tl.add("", "the bus forgets its logs")
	c.bus.Forget()
}

// Heal ends what BusDown, Drop, Duplicate, Delay and LoseAnswers began, and on
// every node what Partition and Deafen did. Nodes that were stopped stay so.
func (c *Cluster) Heal() {
	c.tl.add("", "everything heals")
	c.bus.Unplan()
	c.setDown(false)
	for _, n := range c.nodes {
		n.Heal()
	}
}

// Drop lets the next n messages of a system reach none of the nodes given, or,
// if none are, no node at all. It is for a Lossy cluster: a log loses nothing
// that it has taken, except by Keep and Forget.
//
// A hole is noticed by the numbers of its publisher: with the publisher's next
// message, or its mark a second later. What a node misses before it has heard
// of a publisher at all nobody can notice, so Drop introduces the cluster's
// publishers to the nodes that have clients in the system.
func (c *Cluster) Drop(system string, n int, nodes ...*Node) {
	c.t.Helper()
	if !c.cfg.lossy {
		c.t.Fatalf("cluster: a bus with a log drops nothing: Start with Lossy, or see Keep and Forget")
	}
	c.introduce(system)
	c.plan(system, n, nodes, faulty.Plan{Drop: true}, "will not be heard")
}

// Duplicate lets the bus take each of the next n messages of a system twice, as
// when a publisher repeats itself.
func (c *Cluster) Duplicate(system string, n int) {
	c.t.Helper()
	c.plan(system, n, nil, faulty.Plan{Twice: true}, "will be on the bus twice")
}

// Delay lets the next n messages of a system reach the nodes given, or all,
// later by d. What is behind them waits, too: a bus keeps its order.
func (c *Cluster) Delay(system string, n int, d time.Duration, nodes ...*Node) {
	c.t.Helper()
	if d <= 0 {
		c.t.Fatalf("cluster: delay by %v: want more than nothing", d)
	}
	c.plan(system, n, nodes, faulty.Plan{Delay: d}, "will be late by "+d.String())
}

// LoseAnswers lets the bus take the next n messages of a system, and tell their
// publishers that it failed: fanfare.ErrBusDown, or 503 over HTTP. Who then
// publishes again must do so with the same id.
func (c *Cluster) LoseAnswers(system string, n int) {
	c.t.Helper()
	c.plan(system, n, nil, faulty.Plan{LostAnswer: true}, "will be taken without a word")
}

func (c *Cluster) plan(system string, n int, nodes []*Node, p faulty.Plan, what string) {
	c.t.Helper()
	topic := c.topics.Topic(c.system(system))
	names := "all nodes"
	for i, node := range nodes {
		r := node.now()
		if r == nil {
			c.t.Fatalf("cluster: %s does not run", node.name)
		}
		p.Links = append(p.Links, r.link)
		if names += ", " + node.name; i == 0 {
			names = node.name
		}
	}
	c.tl.add("", "the next %d in %s %s (%s)", n, system, what, names)
	c.bus.Plan(topic, n, p)
}

// introduce lets the nodes that have clients in a system hear of all publishers.
func (c *Cluster) introduce(system string) {
	c.t.Helper()
	c.mu.Lock()
	clients, publishers := slices.Clone(c.clients), slices.Clone(c.publishers)
	c.mu.Unlock()
	for _, one := range clients {
		if !slices.Contains(one.cfg.Systems, system) || one.isAway() {
			continue
		}
		for _, p := range publishers {
			one.fence(p, system)
		}
	}
}
