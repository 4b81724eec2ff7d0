package transport

import (
	"context"
	"maps"
	"slices"
)

// A trim keeps one topic's log short while somebody follows the topic.
type trim struct {
	followers int
	stop      context.CancelFunc
}

// follows says that a subscription has begun: it is watched, and its topic is
// trimmed now and then, until unfollows.
func (t *Transport) follows(s *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subs[s] = struct{}{}
	trimmer, ok := t.driver.(Trimmer)
	if !ok {
		return
	}
	if have := t.trims[s.topic]; have != nil {
		have.followers++
		return
	}
	ctx, stop := context.WithCancel(t.ending)
	t.trims[s.topic] = &trim{followers: 1, stop: stop}
	// The subscription that calls holds running above zero.
	t.running.Go(func() { t.trim(ctx, trimmer, s.topic) })
}

func (t *Transport) unfollows(s *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subs, s)
	have := t.trims[s.topic]
	if have == nil {
		return
	}
	if have.followers--; have.followers == 0 {
		have.stop()
		delete(t.trims, s.topic)
	}
}

// followers returns the subscriptions there are.
func (t *Transport) followers() []*subscription {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.subs))
}

func (t *Transport) trim(ctx context.Context, trimmer Trimmer, topic string) {
	for sleep(ctx, jitter(t.cfg.TrimEvery)) {
		attempt, cancel := context.WithTimeout(ctx, t.cfg.FollowTimeout)
		err := trimmer.Trim(attempt, topic)
		cancel()
		if err != nil && ctx.Err() == nil {
			t.cfg.Log.Warn("trimming failed", "topic", topic, "error", err)
		}
	}
}
