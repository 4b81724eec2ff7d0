package transport

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// lastTrims bounds what Close spends on topics that were published to and never
// trimmed: those of a process that publishes something and ends.
const lastTrims = time.Second

// trims are the topics whose logs are kept short: those that are followed here,
// and those that were published to. One goroutine trims them, one after the
// other, each about every Config.TrimEvery; one that is published to for the
// first time at once. It is safe for concurrent use.
type trims struct {
	driver    Trimmer // nil: the bus trims its logs itself
	published bool    // topics that are published to count, too
	every     time.Duration
	most      int           // topics that nobody follows
	wake      chan struct{} // holds one token when something is due earlier than was known
	begin     sync.Once     // starts the goroutine
	failed    limitedLog

	mu     sync.Mutex
	topics map[string]*trim // guarded by mu
	idle   int              // topics that nobody follows; guarded by mu
	uses   uint64           // publishes that were noted; guarded by mu
}

// A trim is one topic's.
type trim struct {
	followers int
	used      uint64 // which of the publishes was the topic's last; 0: none
	due       time.Time
	done      bool // once at least
	inbound   bool // what its consumer groups have acked is trimmed, too
}

func newTrims(d Driver, cfg Config) *trims {
	t := &trims{
		every: cfg.TrimEvery, most: cfg.TrimTopics, wake: make(chan struct{}, 1),
		topics: make(map[string]*trim), failed: limitedLog{every: time.Minute},
	}
	t.driver, _ = d.(Trimmer)
	t.published = t.driver != nil && (!cfg.PublishOnly || retains(d))
	return t
}

// retains says whether a driver was told how long to keep what it carries.
func retains(d Driver) bool {
	r, ok := d.(Retainer)
	return ok && r.RetentionAsked()
}

// follow says that a topic is followed once more.
func (t *trims) follow(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	have := t.topics[topic]
	if have == nil {
		have = t.add(topic, time.Now().Add(jitter(t.every)))
	}
	if have.followers == 0 {
		t.idle--
	}
	have.followers++
}

// unfollow says that a topic is followed once less.
func (t *trims) unfollow(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	have := t.topics[topic]
	if have.followers--; have.followers > 0 {
		return
	}
	t.idle++
	if have.used == 0 {
		t.drop(topic)
	}
	t.forget()
}

// publish notes that records are published.
func (t *trims) publish(records []Outgoing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, r := range records {
		if i > 0 && r.Topic == records[i-1].Topic {
			continue
		}
		t.uses++
		if have := t.topics[r.Topic]; have != nil {
			have.used = t.uses
			continue
		}
		t.add(r.Topic, time.Now()).used = t.uses
		t.forget()
	}
}

// markInbound says that what consumer groups have acked of a topic is to be
// trimmed, too.
func (t *trims) markInbound(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if have := t.topics[topic]; have != nil {
		have.inbound = true
		return
	}
	t.uses++
	added := t.add(topic, time.Now().Add(jitter(t.every)))
	added.used, added.inbound = t.uses, true
	t.forget()
}

// isInbound says whether markInbound was called for a topic.
func (t *trims) isInbound(topic string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	have := t.topics[topic]
	return have != nil && have.inbound
}

// add begins to trim a topic that nobody follows yet. Call it with mu held.
func (t *trims) add(topic string, due time.Time) *trim {
	added := &trim{due: due}
	t.topics[topic] = added
	t.idle++
	select {
	case t.wake <- struct{}{}:
	default:
	}
	return added
}

// drop forgets a topic that nobody follows. Call it with mu held.
func (t *trims) drop(topic string) {
	delete(t.topics, topic)
	t.idle--
}

// forget drops topics that nobody follows, as long as there are too many: those
// that were published to longest ago. Call it with mu held.
func (t *trims) forget() {
	for t.idle > t.most {
		oldest, found := "", false
		for topic, have := range t.topics {
			if have.followers == 0 && (!found || have.used < t.topics[oldest].used) {
				oldest, found = topic, true
			}
		}
		t.drop(oldest)
	}
}

// take returns the topics that are due, and when the next one is; zero if there
// is none.
func (t *trims) take(now time.Time) (due []string, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for topic, have := range t.topics {
		if !have.due.After(now) {
			due = append(due, topic)
			have.due = now.Add(jitter(t.every))
		}
		if next.IsZero() || have.due.Before(next) {
			next = have.due
		}
	}
	return due, next
}

// trimmed notes that a topic was trimmed.
func (t *trims) trimmed(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if have := t.topics[topic]; have != nil {
		have.done = true
	}
}

// wanting returns the topics that were published to and never trimmed.
func (t *trims) wanting() (topics []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for topic, have := range t.topics {
		if have.used > 0 && !have.done {
			topics = append(topics, topic)
		}
	}
	return topics
}

// follows says that a subscription has begun: it is watched, and its topic is
// trimmed now and then, until unfollows.
func (t *Transport) follows(s *subscription) {
	t.mu.Lock()
	t.subs[s] = struct{}{}
	t.mu.Unlock()
	if t.trims.driver != nil {
		t.trims.follow(s.topic)
		t.startTrimming()
	}
}

func (t *Transport) unfollows(s *subscription) {
	t.mu.Lock()
	delete(t.subs, s)
	t.mu.Unlock()
	if t.trims.driver != nil {
		t.trims.unfollow(s.topic)
	}
}

// publishes says that records are published: their topics are trimmed now and
// then from now on.
func (t *Transport) publishes(records []Outgoing) {
	t.trims.publish(records)
	t.startTrimming()
}

// followers returns the subscriptions there are.
func (t *Transport) followers() []*subscription {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.subs))
}

// startTrimming starts the goroutine that trims, the first time. Close waits for
// it.
func (t *Transport) startTrimming() {
	t.trims.begin.Do(func() {
		if t.enter() != nil {
			return // after Close nothing is due
		}
		go func() {
			defer t.running.Done()
			t.trimAll()
		}()
	})
}

// trimAll trims what is due, until Close; and then what never was.
func (t *Transport) trimAll() {
	for t.ending.Err() == nil {
		due, next := t.trims.take(time.Now())
		for _, topic := range due {
			t.trim(t.ending, topic)
		}
		wait := t.cfg.TrimEvery
		if !next.IsZero() {
			wait = time.Until(next)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-t.trims.wake:
		case <-t.ending.Done():
		}
		timer.Stop()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ending), lastTrims)
	defer cancel()
	for _, topic := range t.trims.wanting() {
		t.trim(ctx, topic)
	}
}

func (t *Transport) trim(ctx context.Context, topic string) {
	if ctx.Err() != nil {
		return
	}
	attempt, cancel := context.WithTimeout(ctx, t.cfg.FollowTimeout)
	defer cancel()
	err := t.trimOnce(attempt, topic)
	switch {
	case err == nil:
		t.trims.trimmed(topic)
	case ctx.Err() == nil && t.Up(): // that the bus is down is told by Run
		t.trims.failed.warn(t.cfg.Logger, "trimming failed", "topic", topic, "error", err)
	}
}

func (t *Transport) trimOnce(ctx context.Context, topic string) error {
	if consumed, ok := t.driver.(ConsumedTrimmer); ok && t.trims.isInbound(topic) {
		_, err := consumed.TrimConsumed(ctx, topic)
		return err
	}
	return t.trims.driver.Trim(ctx, topic)
}
