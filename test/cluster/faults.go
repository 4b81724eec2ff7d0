package cluster

import (
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/test/internal/faulty"
)

// BusDown makes the bus answer nobody until [Cluster.Heal]. Publishing fails, and
// the nodes' subscriptions are interrupted.
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

// Interrupt breaks every node's subscriptions once. With a log they continue
// where they stopped. Without one, each interruption is a gap.
func (c *Cluster) Interrupt() {
	c.tl.add("", "all subscriptions break")
	c.bus.Interrupt()
}

// Forget makes the bus lose its logs, as a broker does that stores nothing on
// disk and is restarted. The members of a Subscriber's group end.
func (c *Cluster) Forget() {
	c.tl.add("", "the bus forgets its logs")
	c.bus.Forget()
}

// Heal ends the faults that BusDown, Drop, Duplicate, Delay and LoseAnswers
// began, and calls [Node.Heal] on every node. Nodes that were stopped stay
// stopped.
func (c *Cluster) Heal() {
	c.tl.add("", "everything heals")
	c.bus.Unplan()
	c.setDown(false)
	for _, n := range c.nodes {
		n.Heal()
	}
}

// Drop keeps the next n messages of a system from the given nodes or, if none
// are given, from all nodes. It is for a [Lossy] cluster: a log loses nothing that
// it has taken, except by [Keep] and [Cluster.Forget].
//
// Nodes notice a missing sequence by the numbers of its publisher: when the
// publisher's next message comes, or the mark that it writes a second later.
// Before a node has received anything from a publisher it cannot notice what it
// misses. So Drop first sends a message from each of the cluster's publishers to
// the nodes that have clients in the system.
func (c *Cluster) Drop(system string, n int, nodes ...*Node) {
	c.t.Helper()
	if !c.cfg.lossy {
		c.t.Fatalf("cluster: a bus with a log drops nothing: Start with Lossy, or see Keep and Forget")
	}
	c.introduce(system)
	c.plan(system, n, nodes, faulty.Plan{Drop: true}, "will not be heard")
}

// Duplicate makes the bus take each of the next n messages of a system twice, as
// if the publisher had repeated them.
func (c *Cluster) Duplicate(system string, n int) {
	c.t.Helper()
	c.plan(system, n, nil, faulty.Plan{Twice: true}, "will be on the bus twice")
}

// Delay delays the next n messages of a system by d on their way to the given
// nodes, or to all. Messages that follow them wait as well, since a bus keeps its
// order.
func (c *Cluster) Delay(system string, n int, d time.Duration, nodes ...*Node) {
	c.t.Helper()
	if d <= 0 {
		c.t.Fatalf("cluster: delay by %v: want more than nothing", d)
	}
	c.plan(system, n, nodes, faulty.Plan{Delay: d}, "will be late by "+d.String())
}

// LoseAnswers makes the bus take the next n messages of a system, but tell their
// publishers that it failed: with [fanfare.ErrBusDown], or 503 over HTTP. A
// publisher that then tries again must use the same id.
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

// introduce sends a fence from each publisher to the clients in a system, so that
// their nodes know the publishers.
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
