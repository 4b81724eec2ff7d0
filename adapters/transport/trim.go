package transport

import "context"

// A trim keeps one topic's log short while somebody follows the topic.
type trim struct {
	followers int
	stop      context.CancelFunc
}

// follows says that a subscription of the topic has begun. Until unfollows is
// called as often, the topic is trimmed now and then.
func (t *Transport) follows(topic string) {
	trimmer, ok := t.driver.(Trimmer)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if have := t.trims[topic]; have != nil {
		have.followers++
		return
	}
	ctx, stop := context.WithCancel(t.ending)
	t.trims[topic] = &trim{followers: 1, stop: stop}
	// The subscription that calls holds running above zero.
	t.running.Go(func() { t.trim(ctx, trimmer, topic) })
}

func (t *Transport) unfollows(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	have := t.trims[topic]
	if have == nil {
		return
	}
	if have.followers--; have.followers == 0 {
		have.stop()
		delete(t.trims, topic)
	}
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
