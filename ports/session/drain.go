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
	span := reg.cfg.Drain - grace
	next := func(i int) *Session {
		if i == len(sessions) {
			return nil
		}
		return sessions[i]
	}
	turn := func(i int) time.Duration { return turnAt(span, i, len(sessions)) }
	// The turns keep the clients from coming back all at once. Only what they leave of
	// RetrySpan is left to chance.
	jitter := max(reg.cfg.RetrySpan-span, min(leastJitter, reg.cfg.RetrySpan))
	reg.sendAway(ctx, next, turn, jitter, grace)
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

// A departure is a session that was asked to go.
type departure struct {
	session *Session
	end     time.Time // of its grace
}

// sendAway asks sessions to go until next returns nil, the ith of them at its turn, and
// closes each when its grace is over. It returns early if ctx ends, or if the node has
// drained.
func (reg *Registry) sendAway(
	ctx context.Context, next func(i int) *Session, turn func(i int) time.Duration,
	jitter, grace time.Duration,
) {
	start := reg.now()
	var asked []departure // and not closed, oldest first
	for i, more := 0, true; more || len(asked) > 0; {
		due := start.Add(turn(i))
		closes := len(asked) > 0 && (!more || asked[0].end.Before(due))
		if closes {
			due = asked[0].end
		}
		if !reg.wait(ctx, due.Sub(reg.now())) {
			return
		}
		if closes {
			asked[0].session.conn.Close(CloseGoingAway, goingReason)
			asked[0].session = nil
			asked = asked[1:]
			continue
		}
		s := next(i)
		if s == nil {
			more = false
			continue
		}
		i++
		s.goAway(jitter, grace)
		asked = append(asked, departure{s, due.Add(grace)})
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
	return time.Duration(float64(span) * float64(i) / float64(max(count, 1)))
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
		reg.goingNow++
		reg.users[s.User].going++
	}
}
