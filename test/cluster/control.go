package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare"
)

// Disconnect closes all sessions of a user on all nodes, as a service does that logs
// somebody out. Clients come back with a new token, unless how.Final is set; how may be
// left out. [Client.WantDisconnected] checks what a client was told.
//
// This and the commands below are given to a node that has the bus, and return when all
// nodes have applied them. Nodes that are cut off the bus are not waited for. To wait for
// less, use [Node.Embedded].
func (c *Cluster) Disconnect(user string, how ...fanfare.Disconnecting) {
	c.t.Helper()
	c.command("disconnect "+user, func(ctx context.Context, n *fanfare.Node, wait time.Duration) (outcome, error) {
		var o fanfare.Disconnecting
		if len(how) > 0 {
			o = how[0]
		}
		o.Wait = cmp.Or(o.Wait, wait)
		return n.Disconnect(ctx, user, o)
	})
}

// Block closes the sessions of a user for good, and refuses new ones until
// [Cluster.Unblock].
func (c *Cluster) Block(user, reason string) {
	c.t.Helper()
	c.command("block "+user, func(ctx context.Context, n *fanfare.Node, wait time.Duration) (outcome, error) {
		return n.Block(ctx, user, reason, fanfare.Lasting{Wait: wait})
	})
}

// Unblock undoes [Cluster.Block].
func (c *Cluster) Unblock(user string) {
	c.t.Helper()
	c.command("unblock "+user, func(ctx context.Context, n *fanfare.Node, wait time.Duration) (outcome, error) {
		return n.Unblock(ctx, user, fanfare.Lasting{Wait: wait})
	})
}

// AddMember puts a user into a room, with all devices, until [Cluster.RemoveMember].
func (c *Cluster) AddMember(system, room, user string) {
	c.t.Helper()
	what := fmt.Sprintf("put %s into %s/%s", user, system, room)
	c.command(what, func(ctx context.Context, n *fanfare.Node, wait time.Duration) (outcome, error) {
		return n.AddMember(ctx, system, room, user, fanfare.Lasting{Wait: wait})
	})
}

// RemoveMember undoes [Cluster.AddMember].
func (c *Cluster) RemoveMember(system, room, user string) {
	c.t.Helper()
	what := fmt.Sprintf("take %s out of %s/%s", user, system, room)
	c.command(what, func(ctx context.Context, n *fanfare.Node, wait time.Duration) (outcome, error) {
		return n.RemoveMember(ctx, system, room, user, fanfare.Lasting{Wait: wait})
	})
}

type outcome = fanfare.Outcome

// command gives a node a command, and fails the test unless it is applied.
func (c *Cluster) command(
	what string, give func(context.Context, *fanfare.Node, time.Duration) (outcome, error),
) {
	c.t.Helper()
	nodes := c.withBus()
	if len(nodes) == 0 {
		c.t.Fatalf("cluster: %s: %v", what, errNoNode)
	}
	running, wait := 0, c.cfg.patience
	for _, n := range c.nodes {
		if n.now() != nil {
			running++
		}
	}
	if running > len(nodes) {
		wait = 0 // some cannot be told now
	}
	ctx, cancel := c.patience()
	defer cancel()
	o, err := give(ctx, nodes[0].Embedded(), wait)
	switch {
	case err != nil:
		c.t.Fatalf("cluster: %s: %v", what, err)
	case len(o.Pending) > 0:
		c.t.Fatalf("cluster: %s: %s did not do it in %v\n%s", what, strings.Join(o.Pending, ", "), wait, c.tl.of(""))
	}
	c.tl.add("", "the server's side: %s", what)
}

// withBus returns the nodes that run and that no fault separates from the bus.
func (c *Cluster) withBus() (nodes []*Node) {
	for _, n := range c.nodes {
		if !n.isCutOff() {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// Events returns the topic on which a system's service is told who comes and goes, as
// CloudEvents, for [Cluster.Subscriber]. The system must be named in the option [Events].
func (c *Cluster) Events(system string) string {
	c.t.Helper()
	if !slices.Contains(c.cfg.settings("n0").Events, system) {
		c.t.Fatalf("cluster: there are no events of %s: Start with Events(%q)", system, system)
	}
	return c.topics.Events(c.system(system))
}

// Present waits until all nodes agree on who is in a room or, if room is "", attached to
// the system, and returns the users, sorted. Nodes that are cut off the bus are not asked.
// A user whose sessions have just ended is still present for the grace, and nodes may agree
// on that: to wait for somebody to be gone, use [Cluster.WantPresent].
func (c *Cluster) Present(system, room string) []string {
	c.t.Helper()
	return c.agree(system, room, "all nodes agree", func([]string) bool { return true })
}

// WantPresent waits until all nodes agree that exactly these users are in a room or, if
// room is "", attached to the system.
func (c *Cluster) WantPresent(system, room string, users ...string) {
	c.t.Helper()
	want := slices.Compact(slices.Sorted(slices.Values(users)))
	is := func(have []string) bool { return slices.Equal(have, want) }
	c.agree(system, room, fmt.Sprintf("%q are present", want), is)
}

// agree asks the nodes who is in a place until all say the same, and enough accepts it.
func (c *Cluster) agree(system, room, what string, enough func([]string) bool) []string {
	c.t.Helper()
	ctx, cancel := c.patience()
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		users, doubt := c.present(system, room)
		if doubt == "" && enough(users) {
			return users
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if doubt == "" {
				doubt = fmt.Sprintf("all nodes say %q", users)
			}
			c.t.Fatalf("cluster: waited %v until in %s/%s %s; %s\n%s",
				c.cfg.patience, system, room, what, doubt, c.tl.of(""))
		}
	}
}

// present asks all nodes who is in a place. The doubt says why they cannot be believed;
// "" if they can.
func (c *Cluster) present(system, room string) (users []string, doubt string) {
	c.t.Helper()
	nodes := c.withBus()
	if len(nodes) == 0 {
		return nil, "no node has the bus"
	}
	said := map[string][]string{}
	for _, n := range nodes {
		have, complete := n.present(system, room)
		if said[n.name] = have; !complete && doubt == "" {
			doubt = n.name + " does not know all nodes yet"
		}
		if !slices.Equal(have, said[nodes[0].name]) {
			doubt = "they differ"
		}
	}
	if doubt != "" {
		return nil, fmt.Sprintf("%s: %q", doubt, said)
	}
	return said[nodes[0].name], ""
}

// present asks one node for all pages of a place.
func (n *Node) present(system, room string) (users []string, complete bool) {
	n.c.t.Helper()
	complete = true
	for after := ""; ; {
		node := n.Embedded()
		if node == nil {
			return nil, false
		}
		page, err := node.Presence(system, room, fanfare.Part{After: after, Limit: 1000})
		if err != nil {
			n.c.t.Fatalf("cluster: %s: who is in %s/%s: %v", n.name, system, room, err)
		}
		for _, u := range page.Users {
			users = append(users, u.User)
		}
		complete = complete && page.Complete
		if after = page.Next; after == "" {
			return users, complete
		}
	}
}
