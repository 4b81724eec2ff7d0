package session

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Drain turns new clients away, asks each session to go, and closes it with
// [CloseGoingAway] when [Config.Grace] is over. In that time the client can connect to
// another node, and has both sessions until it lets this one go. The sessions take turns,
// which are spread evenly over what Grace leaves of [Config.Drain]. Drain returns when
// all sessions have ended. If ctx ends earlier, Drain cuts off those that are left,
// and returns an error that wraps the context's.
func (reg *Registry) Drain(ctx context.Context) error {
	reg.stopAdmitting()
	sessions := reg.snapshot()
	rand.Shuffle(len(sessions), func(i, j int) {
		sessions[i], sessions[j] = sessions[j], sessions[i]
	})
	grace := min(reg.cfg.Grace, reg.cfg.Drain/2)
	reg.sendAway(ctx, sessions, reg.cfg.Drain-grace, grace)
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

// sendAway asks the sessions to go, one after the other over span, and closes each when
// its grace is over. It returns early if ctx ends, or if the node has drained.
func (reg *Registry) sendAway(ctx context.Context, sessions []*Session, span, grace time.Duration) {
	// The turns keep the clients from coming back all at once. Only what they leave of
	// RetrySpan is left to chance.
	jitter := max(reg.cfg.RetrySpan-span, min(leastJitter, reg.cfg.RetrySpan))
	start, asked := reg.now(), 0
	for closed := 0; closed < len(sessions); {
		due := turnAt(span, closed, len(sessions)) + grace
		asks := asked < len(sessions)
		if asks {
			turn := turnAt(span, asked, len(sessions))
			asks, due = turn <= due, min(turn, due)
		}
		if !reg.wait(ctx, start.Add(due).Sub(reg.now())) {
			return
		}
		if asks {
			sessions[asked].goAway(jitter, grace)
			asked++
		} else {
			sessions[closed].conn.Close(CloseGoingAway, goingReason)
			closed++
		}
	}
}

// wait waits for d, and reports whether ctx is alive and sessions are left then.
func (reg *Registry) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-reg.ended:
	case <-ctx.Done():
	}
	return false
}

// leastJitter is the least by which the retry delays of the sessions differ that are sent
// away one after the other.
const leastJitter = 100 * time.Millisecond

// goingReason is the reason in the close frame of a session that was asked to go.
const goingReason = "the node asked the client to go"

// turnAt returns when it is the turn of session i, if the turns of count sessions are
// spread evenly over span. It is computed as a float, since a product of
// durations could overflow.
func turnAt(span time.Duration, i, count int) time.Duration {
	return time.Duration(float64(span) * float64(i) / float64(count))
}

// goAway asks the client to connect elsewhere: at once, while it still has this session
// for the grace; or, if it cannot, after a random part of jitter. Without a grace the session
// ends now.
func (s *Session) goAway(jitter, grace time.Duration) {
	if grace = grace.Truncate(time.Millisecond); grace > 0 {
		s.registry.setGoing(s)
	}
	s.conn.GoAway(time.Duration(jitterMillis(jitter))*time.Millisecond, grace)
}

// setGoing notes that the session was asked to go: it no longer counts towards
// [Config.SessionsPerUser], as its client is about to have another one.
func (reg *Registry) setGoing(s *Session) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if s.slot >= 0 && !s.going {
		s.going = true
		reg.users[s.User].going++
	}
}
