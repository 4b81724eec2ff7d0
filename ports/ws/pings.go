package ws

import (
	"context"
	"sync"
	"time"
)

// pingTurns is how many turns a ping period has.
const pingTurns = 32

// pings has each session pinged once in a period. Its sessions share one timer. It is
// safe for concurrent use.
type pings struct {
	mu    sync.Mutex
	turns [pingTurns][]*client // each session knows its pingTurn and pingIndex; guarded by mu
	turn  int                  // the turn that was last; guarded by mu
}

// add lets a session be pinged, for the first time after almost a period.
func (p *pings) add(c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	turn := &p.turns[p.turn]
	c.pingTurn, c.pingIndex = p.turn, len(*turn)
	*turn = append(*turn, c)
}

// remove undoes add.
func (p *pings) remove(c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	turn := &p.turns[c.pingTurn]
	last := len(*turn) - 1
	moved := (*turn)[last]
	(*turn)[c.pingIndex], moved.pingIndex = moved, c.pingIndex
	(*turn)[last] = nil
	*turn = (*turn)[:last]
}

// run pings until ctx ends.
func (p *pings) run(ctx context.Context, period time.Duration) {
	ticker := time.NewTicker(max(period/pingTurns, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.next()
		case <-ctx.Done():
			return
		}
	}
}

// next pings the sessions whose turn it is.
func (p *pings) next() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn = (p.turn + 1) % pingTurns
	for _, c := range p.turns[p.turn] {
		c.ping() // does not block, and does not call back
	}
}
