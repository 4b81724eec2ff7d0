package fanfare

import (
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/plane"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A controlled is what the control plane acts on: the sessions of a node, and how it is.
// Its Status is for one goroutine.
type controlled struct {
	*session.Registry
	parts parts

	// behind is since when some system that is consumed is known to be behind the bus;
	// zero while none is.
	behind time.Time
}

var _ plane.Node = (*controlled)(nil)

func newControlled(p parts) *controlled { return &controlled{Registry: p.registry, parts: p} }

// Rebalance asks sessions to go, or no more of them.
func (c *controlled) Rebalance(v control.Value) { c.Registry.Rebalance(v, c.over) }

// over returns how many sessions the node has more than the live nodes have on average. Those
// that drain do not count.
func (c *controlled) over() int {
	own, all, nodes := c.Registry.Sessions(), 0, 0
	for _, n := range c.parts.plane.Nodes() {
		switch {
		case n.Self:
			all, nodes = all+own, nodes+1
		case !n.Status.Draining:
			all, nodes = all+n.Status.Sessions, nodes+1
		}
	}
	return own - all/max(nodes, 1)
}

// Status says how the node is.
func (c *controlled) Status() control.Status {
	stats := c.Registry.Stats()
	now := control.Status{
		Sessions: stats.Sessions, Users: stats.Users, Systems: []string{},
		Lag: c.lag(), Draining: c.parts.health.isDraining(),
	}
	for _, s := range c.parts.hub.Streams() {
		now.Systems = append(now.Systems, s.System().String())
	}
	slices.Sort(now.Systems)
	return now
}

// lag returns how long a system has been behind the bus. The bus says so only when that was
// for confirmWithin, so what is less than that shows as 0.
func (c *controlled) lag() time.Duration {
	if len(c.parts.health.look().deaf) == 0 {
		c.behind = time.Time{}
		return 0
	}
	if c.behind.IsZero() {
		c.behind = time.Now().Add(-confirmWithin)
	}
	return time.Since(c.behind)
}
