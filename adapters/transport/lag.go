package transport

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/domain"
)

const (
	// concurrentTails is how many tails are asked for at the same time.
	concurrentTails = 4
	// tailSlack: since when a log is ahead is known to a round of Run, of which the
	// middle is taken. So Deaf is told up to half a second early or late.
	tailSlack = pingEvery / 2
)

// Deaf reports whether, while the broker answers, some subscription has been
// behind for Config.DeafAfter or longer, give or take half a second:
//
//   - It has no feed.
//   - Or, on a log, it has not handed over, and been acked, what was the log's
//     tail that long ago. Who makes progress but never gets there is behind
//     too.
//
// It is as Run saw it last; false while the bus is down, and without Run.
func (t *Transport) Deaf() bool { return len(t.DeafTopics()) > 0 }

// DeafTopics returns the topics of the subscriptions for which Deaf says so, a
// topic once for each of them. The slice is not to be changed.
func (t *Transport) DeafTopics() []string {
	if topics := t.lagging.Load(); topics != nil {
		return *topics
	}
	return nil
}

// deliveryState is how far a subscription has come, for who watches it.
type deliveryState struct {
	mu          sync.Mutex
	delivered   domain.Position // handed over and acked; guarded by mu
	noFeedSince time.Time       // since when there is no feed; zero with one; guarded by mu
}

// setDelivered notes that everything up to a place was handed over.
func (p *deliveryState) setDelivered(at domain.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delivered = at
}

// feedLost notes that the feed is over, and rise that there is one again.
func (p *deliveryState) feedLost(over Feed) {
	mute := time.Now()
	if h, ok := over.(LastHeard); ok {
		mute = h.LastHeard()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noFeedSince = mute
}

func (p *deliveryState) feedRestored() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noFeedSince = time.Time{}
}

func (p *deliveryState) snapshot() (handed domain.Position, mute time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delivered, p.noFeedSince
}

// A lagMonitor compares how far the subscriptions are with where the logs end. It
// is Run's alone.
type lagMonitor struct {
	t            *Transport
	answersSince time.Time         // since when the broker answers; zero if it does not
	tails        map[string][]tail // of each topic that is followed, oldest first
	unknownTails limitedLog
}

// A tail is where a log ended.
type tail struct {
	seen time.Time
	at   domain.Position
}

func newLagMonitor(t *Transport) *lagMonitor {
	return &lagMonitor{t: t, tails: make(map[string][]tail), unknownTails: limitedLog{every: time.Minute}}
}

// update notes where the logs end, if the broker answers.
func (m *lagMonitor) update(ctx context.Context, up bool) {
	if !up {
		m.answersSince = time.Time{}
		clear(m.tails)
		return
	}
	now := time.Now()
	if m.answersSince.IsZero() {
		m.answersSince = now
	}
	m.readTails(ctx, now, m.t.subscriptions())
}

// lagging returns the topics of subscriptions that are lagging, while the broker
// answers.
func (m *lagMonitor) lagging() (topics []string) {
	if m.answersSince.IsZero() {
		return nil
	}
	now := time.Now()
	for _, s := range m.t.subscriptions() {
		if m.isLagging(s, now) {
			topics = append(topics, s.topic)
		}
	}
	return topics
}

// readTails asks for the tails of all topics that are followed. A topic whose tail
// is not told in time keeps those that were seen before.
func (m *lagMonitor) readTails(ctx context.Context, now time.Time, all []*subscription) {
	topics := make(map[string][]tail)
	for _, s := range all {
		topics[s.topic] = m.tails[s.topic]
	}
	m.tails = topics // the others are forgotten
	if m.t.log == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var mu sync.Mutex
	seen := make(map[string]domain.Position, len(topics))
	var asking errgroup.Group
	asking.SetLimit(concurrentTails)
	for topic := range topics {
		asking.Go(func() error {
			at, err := m.t.log.Tail(ctx, topic)
			if err != nil {
				m.logUnknownTail(ctx, topic, err)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			seen[topic] = at
			return nil
		})
	}
	_ = asking.Wait() // nobody fails
	for topic, at := range seen {
		m.tails[topic] = m.addTail(m.tails[topic], tail{now, at})
	}
}

// logUnknownTail says that a topic's tail is not known: nobody would notice if its
// subscriptions fell behind. That an answer is late now and then is no news.
func (m *lagMonitor) logUnknownTail(ctx context.Context, topic string, err error) {
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		m.t.cfg.Logger.Debug("where the log ends is not known", "topic", topic, "error", err)
		return
	}
	m.unknownTails.warn(m.t.cfg.Logger, "where the log ends is not known: nobody notices if this node falls behind",
		"topic", topic, "error", err)
}

// addTail adds a tail, and drops those that are older than is of interest. A log
// that ends before where it ended has begun anew, or its end was taken back:
// nothing older counts.
func (m *lagMonitor) addTail(seen []tail, last tail) []tail {
	if n := len(seen); n > 0 && last.at < seen[n-1].at {
		seen = nil
	}
	seen = append(seen, last)
	for len(seen) > 1 && m.tooLong(seen[1].seen, last.seen) {
		seen = seen[1:]
	}
	return seen
}

func (m *lagMonitor) tooLong(then, now time.Time) bool {
	return now.Sub(then) >= m.t.cfg.DeafAfter-tailSlack
}

func (m *lagMonitor) isLagging(s *subscription, now time.Time) bool {
	handed, mute := s.snapshot()
	if !mute.IsZero() {
		if mute.Before(m.answersSince) {
			mute = m.answersSince
		}
		if m.tooLong(mute, now) {
			return true
		}
	}
	tails := m.tails[s.topic]
	return len(tails) > 0 && m.tooLong(tails[0].seen, now) && handed < tails[0].at
}
