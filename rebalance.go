package fanfare

import (
	"context"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

// Rebalancing says how sessions are moved off a node.
type Rebalancing struct {
	Rate int // sessions a second, at most 10,000; 0 means 50
	// Sessions is how many are moved. 0 means as many as the node has more than the live
	// nodes have on average.
	Sessions int
	Wait     time.Duration // how long to wait for the other nodes; at most 30 s count
}

const defaultRebalanceRate = 50

// Rebalance moves sessions off a node, by the node's name: it asks one client after the other
// to connect elsewhere, as a node that drains does, and closes each session after
// Config.DrainGrace at the latest. Where the clients go is for the load balancer to say.
// It returns when the node knows of it, and does not wait for the sessions. A second
// Rebalance of a node replaces the first one. The error wraps ErrInvalid if there is no live
// node of that name.
func (n *Node) Rebalance(ctx context.Context, node string, o Rebalancing) (Outcome, error) {
	if o.Rate < 0 || o.Sessions < 0 {
		return Outcome{}, fmt.Errorf("fanfare: rebalance: want no negative numbers: %w", ErrInvalid)
	}
	if o.Rate == 0 {
		o.Rate = defaultRebalanceRate
	}
	return n.rebalance(ctx, node, control.Value{Rate: o.Rate, Sessions: o.Sessions}, o.Wait)
}

// StopRebalance ends what [Node.Rebalance] has begun. Sessions that were asked to go still
// go. Wait is how long to wait for the other nodes.
func (n *Node) StopRebalance(ctx context.Context, node string, wait time.Duration) (Outcome, error) {
	return n.rebalance(ctx, node, control.Value{}, wait)
}

func (n *Node) rebalance(
	ctx context.Context, node string, v control.Value, wait time.Duration,
) (Outcome, error) {
	p, err := n.control()
	if err != nil {
		return Outcome{}, err
	}
	incarnation := control.Newest(p.Nodes(), node)
	if incarnation == "" {
		err := &domain.FieldError{Path: "node", Problem: fmt.Sprintf("there is no live node %q", node)}
		return Outcome{}, fmt.Errorf("fanfare: rebalance: %w", err)
	}
	k := control.Key{Kind: control.Rebalance, Name: incarnation}
	return n.command(ctx, k, v, control.DisconnectTTL, false, wait)
}
