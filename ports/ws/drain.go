package ws

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Drain turns new clients away and closes the sessions with 1001, spread evenly
// over Config.Drain; fanfare.v1.json clients are told before when to come back,
// each a little differently. It returns when all have ended. If ctx ends
// earlier, it cuts off who is left, and returns the context's error.
func (s *Server) Drain(ctx context.Context) error {
	s.stopAdmitting()
	sessions := s.snapshot()
	rand.Shuffle(len(sessions), func(i, j int) { sessions[i], sessions[j] = sessions[j], sessions[i] })
	start := s.now()
	for i, c := range sessions {
		slot := s.cfg.Drain * time.Duration(i) / time.Duration(len(sessions))
		if wait(ctx, start.Add(slot).Sub(s.now())) != nil {
			break
		}
		c.goAway()
	}
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
	}
	left := s.snapshot()
	for _, c := range left {
		c.close(CloseGoingAway, "the node stops")
		_ = c.conn.Conn.Close() // it is given up
	}
	return fmt.Errorf("ws: drain: %d sessions were cut off: %w", len(left), ctx.Err())
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
