package session

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
)

// A rebalancing asks sessions to go although the node does not drain.
type rebalancing struct {
	rate  int        // sessions a second
	count int        // most sessions in all
	over  func() int // how many sessions the node has too many; nil where count alone says it
}

// Rebalance asks sessions to go, as [Registry.Drain] does, v.Rate a second: v.Sessions of them
// or, if that is 0, as long as over returns more than 0, but never more than there are now.
// It replaces what an earlier call has begun, and with the rate 0 only ends that. It does
// not wait: [Registry.Run] does the work, and calls over.
func (reg *Registry) Rebalance(v control.Value, over func() int) {
	r := rebalancing{rate: v.Rate, count: v.Sessions}
	if v.Sessions == 0 {
		r.count, r.over = reg.Sessions(), over
	}
	reg.mu.Lock()
	defer reg.mu.Unlock()
	select { // the newest replaces what was not begun; only holders of mu send
	case <-reg.rebalancings:
	default:
	}
	reg.rebalancings <- r
}

// rebalance does what Rebalance is called for, until ctx ends.
func (reg *Registry) rebalance(ctx context.Context) {
	for {
		select {
		case r := <-reg.rebalancings:
			if r.rate > 0 {
				reg.log.Info("sessions are asked to go", "rate", r.rate, "most", r.count)
				reg.log.Info("sessions were asked to go", "sessions", reg.moveAway(ctx, r))
			}
		case <-ctx.Done():
			return
		}
	}
}

// moveAway asks sessions to go, and returns how many. It returns when the last of them is
// closed, and asks no more when there is another rebalancing.
func (reg *Registry) moveAway(ctx context.Context, r rebalancing) (asked int) {
	turn := func(i int) time.Duration {
		return time.Duration(float64(time.Second) * float64(i) / float64(r.rate))
	}
	tooMany := reg.tooMany(r)
	next := func(i int) *Session {
		if i >= r.count || len(reg.rebalancings) > 0 || !tooMany() {
			return nil
		}
		s := reg.anyone()
		if s != nil {
			asked++
		}
		return s
	}
	reg.sendAway(ctx, next, turn, min(leastJitter, reg.cfg.RetrySpan), reg.cfg.Grace)
	return asked
}

// tooMany returns a function that says whether a rebalancing is to go on. What over knows of
// other nodes is some seconds old: sessions that have moved meanwhile it counts nowhere, and
// would have this node give away all that it has. So the node also keeps as many as it had to
// when the rebalancing began.
func (reg *Registry) tooMany(r rebalancing) func() bool {
	if r.over == nil {
		return func() bool { return true }
	}
	least := reg.Sessions() - r.over()
	return func() bool { return min(r.over(), reg.Sessions()-least) > reg.going() }
}

// anyone returns a random session that was not asked to go; nil if there is none, or the node
// drains.
func (reg *Registry) anyone() *Session {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	n := len(reg.sessions)
	if n == 0 || reg.draining {
		return nil
	}
	// Those that were asked are few, except when nearly all have been.
	for i, start := 0, rand.IntN(n); i < n; i++ {
		if s := reg.sessions[(start+i)%n]; !s.going {
			return s
		}
	}
	return nil
}

// going returns how many sessions were asked to go and have not ended.
func (reg *Registry) going() int {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	return reg.goingNow
}
