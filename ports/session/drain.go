package session

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Drain turns new clients away and closes the sessions with CloseGoingAway,
// spread evenly over Config.Drain; they are told before when to come back, each
// a little differently. It returns when all have ended. If ctx ends earlier, it
// cuts off who is left, and returns the context's error.
func (reg *Registry) Drain(ctx context.Context) error {
	reg.stopAdmitting()
	sessions := reg.snapshot()
	rand.Shuffle(len(sessions), func(i, j int) { sessions[i], sessions[j] = sessions[j], sessions[i] })
	start := reg.now()
	for i, s := range sessions {
		if wait(ctx, start.Add(turnAt(reg.cfg.Drain, i, len(sessions))).Sub(reg.now())) != nil {
			break
		}
		s.goAway()
	}
	select {
	case <-reg.ended:
		return nil
	case <-ctx.Done():
	}
	left := reg.snapshot()
	for _, s := range left {
		s.conn.Close(CloseGoingAway, "the node stops")
		s.conn.Abort()
	}
	return fmt.Errorf("session: drain: %d sessions were cut off: %w", len(left), ctx.Err())
}

// turnAt is when it is the turn of one of so many, evenly over a span. A product
// of durations could overflow.
func turnAt(span time.Duration, i, of int) time.Duration {
	return time.Duration(float64(span) * float64(i) / float64(of))
}

// wait waits for d, or for ctx to end.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
