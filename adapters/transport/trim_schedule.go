package transport

import (
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/internal/pause"
)

// A trimSchedule says when which topic's log is trimmed. It has the topics that are
// followed here, and those that were published to. Each is due about every
// Config.TrimEvery; one that is published to for the first time is due at once.
// It is safe for concurrent use.
type trimSchedule struct {
	driver         Trimmer // nil: the broker trims its logs itself
	trimsPublished bool    // topics that are published to are trimmed, too
	every          time.Duration
	maxUnfollowed  int           // topics that nobody follows
	wake           chan struct{} // holds one token when a topic is due earlier than due has said
	start          sync.Once     // starts the goroutine
	failures       limitedLog

	mu         sync.Mutex
	topics     map[string]*topicTrim // guarded by mu
	unfollowed int                   // topics that nobody follows; guarded by mu
	publishes  uint64                // counts publishes; guarded by mu
}

// A topicTrim is one topic's part. The schedule's mu guards it.
type topicTrim struct {
	followers   int
	lastPublish uint64 // the count of publishes when it was last published to; 0: never
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

// follow counts one follower of a topic more.
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

// unfollow counts one follower of a topic less.
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

// markInbound notes that a topic is an inbound topic: what its consumer groups have
// acked is trimmed, too.
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

// drop removes a topic that nobody follows. Call it with mu held.
func (t *trimSchedule) drop(topic string) {
	delete(t.topics, topic)
	t.unfollowed--
}

// evict removes topics that nobody follows, as long as there are too many: those
// that were last published to the longest ago. Call it with mu held.
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

// due returns the topics that are due now, and when the next one is due; zero if
// there is none. It counts those that it returns as trimmed in this round.
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

// trimmed notes that trimming a topic has succeeded.
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
