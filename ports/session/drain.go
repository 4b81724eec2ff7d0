package session

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fanfarebus/fanfare/internal/pause"
)

// Drain turns new clients away and closes the sessions with [CloseGoingAway],
// spread evenly over [Config.Drain]. Each client is told first when to come back;
// the times differ, so that the clients do not all come at once. Drain returns when
// all sessions have ended. If ctx ends earlier, Drain cuts off those that are left,
// and returns an error that wraps the context's.
func (reg *Registry) Drain(ctx context.Context) error {
	reg.stopAdmitting()
	sessions := reg.snapshot()
	rand.Shuffle(len(sessions), func(i, j int) {
		sessions[i], sessions[j] = sessions[j], sessions[i]
	})
	start := reg.now()
	for i, s := range sessions {
		turn := start.Add(turnAt(reg.cfg.Drain, i, len(sessions)))
		if !pause.For(ctx, turn.Sub(reg.now())) {
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

// turnAt returns when it is the turn of session i, if the turns of count sessions are
// spread evenly over span. It is computed as a float, since a product of
// durations could overflow.
func turnAt(span time.Duration, i, count int) time.Duration {
	return time.Duration(float64(span) * float64(i) / float64(count))
}
