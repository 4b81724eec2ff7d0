package transport

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/internal/pause"
)

// lastTrims bounds what Close spends on topics that were published to and never
// trimmed: those of a process that publishes something and ends.
const lastTrimsTimeout = time.Second

// trimSchedule are the topics whose logs are kept short: those that are followed here,
// and those that were published to. One goroutine trimSchedule them, one after the
// other, each about every Config.TrimEvery; one that is published to for the
// first time at once. It is safe for concurrent use.
type trimSchedule struct {
	driver         Trimmer // nil: the bus trims its logs itself
	trimsPublished bool    // topics that are published to count, too
	every          time.Duration
	maxUnfollowed  int           // topics that nobody follows
	wake           chan struct{} // holds one token when something is due earlier than was known
	start          sync.Once     // starts the goroutine
	failures       limitedLog

	mu         sync.Mutex
	topics     map[string]*topicTrim // guarded by mu
	unfollowed int                   // topics that nobody follows; guarded by mu
	publishes  uint64                // publishes that were noted; guarded by mu
}

// A topicTrim is one topic's.
type topicTrim struct {
	followers   int
	lastPublish uint64 // which of the publishes was the topic's last; 0: none
	due         time.Time
	trimmed     bool // once at least
	inbound     bool // what its consumer groups have acked is trimmed, too
}

func newTrimSchedule(d Driver, cfg Config) *trimSchedule {
	t := &trimSchedule{
		every: cfg.TrimEvery, maxUnfollowed: cfg.TrimTopics, wake: make(chan struct{}, 1),
		topics: make(map[string]*topicTrim), failures: limitedLog{every: time.Minute},
	}
	t.driver, _ = d.(Trimmer)
	t.trimsPublished = t.driver != nil && (!cfg.PublishOnly || retentionAsked(d))
	return t
}

// retentionAsked says whether a driver was told how long to keep what it carries.
func retentionAsked(d Driver) bool {
	r, ok := d.(Retainer)
	return ok && r.RetentionAsked()
}

// follow says that a topic is followed once more.
func (t *trimSchedule) follow(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	have := t.topics[topic]
	if have == nil {
		have = t.add(topic, time.Now().Add(pause.Jitter(t.every)))
	}
	if have.followers == 0 {
		t.unfollowed--
	}
	have.followers++
}

// unfollow says that a topic is followed once less.
func (t *trimSchedule) unfollow(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	have := t.topics[topic]
	if have.followers--; have.followers > 0 {
		return
	}
	t.unfollowed++
	if have.lastPublish == 0 {
		t.drop(topic)
	}
	t.evict()
}

// publish notes that records are published.
func (t *trimSchedule) publish(records []Outgoing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, r := range records {
		if i > 0 && r.Topic == records[i-1].Topic {
			continue
		}
		t.publishes++
		if have := t.topics[r.Topic]; have != nil {
			have.lastPublish = t.publishes
			continue
		}
		t.add(r.Topic, time.Now()).lastPublish = t.publishes
		t.evict()
	}
}

// markInbound says that what consumer groups have acked of a topic is to be
// trimmed, too.
func (t *trimSchedule) markInbound(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if have := t.topics[topic]; have != nil {
		have.inbound = true
		return
	}
	t.publishes++
	added := t.add(topic, time.Now().Add(pause.Jitter(t.every)))
	added.lastPublish, added.inbound = t.publishes, true
	t.evict()
}

// isInbound says whether markInbound was called for a topic.
func (t *trimSchedule) isInbound(topic string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	have := t.topics[topic]
	return have != nil && have.inbound
}

// add begins to trim a topic that nobody follows yet. Call it with mu held.
func (t *trimSchedule) add(topic string, due time.Time) *topicTrim {
	added := &topicTrim{due: due}
	t.topics[topic] = added
	t.unfollowed++
	select {
	case t.wake <- struct{}{}:
	default:
	}
	return added
}

// drop forgets a topic that nobody follows. Call it with mu held.
func (t *trimSchedule) drop(topic string) {
	delete(t.topics, topic)
	t.unfollowed--
}

// evict drops topics that nobody follows, as long as there are too many: those
// that were published to longest ago. Call it with mu held.
func (t *trimSchedule) evict() {
	for t.unfollowed > t.maxUnfollowed {
		oldest, found := "", false
		for topic, have := range t.topics {
			if have.followers == 0 && (!found || have.lastPublish < t.topics[oldest].lastPublish) {
				oldest, found = topic, true
			}
		}
		t.drop(oldest)
	}
}

// due returns the topics that are due, and when the next one is; zero if there
// is none.
func (t *trimSchedule) due(now time.Time) (due []string, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for topic, have := range t.topics {
		if !have.due.After(now) {
			due = append(due, topic)
			have.due = now.Add(pause.Jitter(t.every))
		}
		if next.IsZero() || have.due.Before(next) {
			next = have.due
		}
	}
	return due, next
}

// trimmed notes that a topic was trimmed.
func (t *trimSchedule) trimmed(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if have := t.topics[topic]; have != nil {
		have.trimmed = true
	}
}

// neverTrimmed returns the topics that were published to and never trimmed.
func (t *trimSchedule) neverTrimmed() (topics []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for topic, have := range t.topics {
		if have.lastPublish > 0 && !have.trimmed {
			topics = append(topics, topic)
		}
	}
	return topics
}

// addSubscription says that a subscription has begun: it is watched, and its topic is
// trimmed now and then, until unfollows.
func (t *Transport) addSubscription(s *subscription) {
	t.mu.Lock()
	t.subs[s] = struct{}{}
	t.mu.Unlock()
	if t.trimming.driver != nil {
		t.trimming.follow(s.topic)
		t.startTrimming()
	}
}

func (t *Transport) removeSubscription(s *subscription) {
	t.mu.Lock()
	delete(t.subs, s)
	t.mu.Unlock()
	if t.trimming.driver != nil {
		t.trimming.unfollow(s.topic)
	}
}

// trimPublished says that records are published: their topics are trimmed now and
// then from now on.
func (t *Transport) trimPublished(records []Outgoing) {
	t.trimming.publish(records)
	t.startTrimming()
}

// subscriptions returns the subscriptions there are.
func (t *Transport) subscriptions() []*subscription {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.subs))
}

// startTrimming starts the goroutine that trims, the first time. Close waits for
// it.
func (t *Transport) startTrimming() {
	t.trimming.start.Do(func() {
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
	for t.closing.Err() == nil {
		due, next := t.trimming.due(time.Now())
		for _, topic := range due {
			t.trim(t.closing, topic)
		}
		wait := t.cfg.TrimEvery
		if !next.IsZero() {
			wait = time.Until(next)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-t.trimming.wake:
		case <-t.closing.Done():
		}
		timer.Stop()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.closing), lastTrimsTimeout)
	defer cancel()
	for _, topic := range t.trimming.neverTrimmed() {
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
		t.trimming.trimmed(topic)
	case ctx.Err() == nil && t.Up(): // that the bus is down is told by Run
		t.trimming.failures.warn(t.cfg.Logger, "trimming failed", "topic", topic, "error", err)
	}
}

func (t *Transport) trimOnce(ctx context.Context, topic string) error {
	if consumed, ok := t.driver.(ConsumedTrimmer); ok && t.trimming.isInbound(topic) {
		_, err := consumed.TrimConsumed(ctx, topic)
		return err
	}
	return t.trimming.driver.Trim(ctx, topic)
}
