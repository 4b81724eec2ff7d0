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
	// concurrentTails is how many topics' tails are asked for at the same time.
	concurrentTails = 4
	// tailSlack makes up for how coarsely Run looks. It learns only once a
	// pingEvery where a log ends, so a log may have ended there for as long as
	// that already; half of it is taken. Deaf is therefore reported up to half a
	// second early or late.
	tailSlack = pingEvery / 2
)

// Deaf reports whether, while the broker answers, some subscription has lagged
// for Config.DeafAfter or longer, give or take half a second. A subscription lags
// while
//
//   - it has no feed, or
//   - on a log, it has not yet handed over, with an ack, what was the log's tail
//     Config.DeafAfter ago. A subscription that makes progress but never gets
//     there lags, too.
//
// Deaf says what [Transport.Run] saw last. It is false while the bus is down, and
// without Run.
func (t *Transport) Deaf() bool { return len(t.DeafTopics()) > 0 }

// DeafTopics returns the topics of the subscriptions that make Deaf true, a topic
// once for each of them. The caller must not change the slice.
func (t *Transport) DeafTopics() []string {
	if topics := t.lagging.Load(); topics != nil {
		return *topics
	}
	return nil
}

// A deliveryState is how far a subscription has come. The subscription writes it,
// the [lagMonitor] reads it.
type deliveryState struct {
	mu          sync.Mutex
	delivered   domain.Position // up to here all was handed over and acked; guarded by mu
	noFeedSince time.Time       // zero while there is a feed; guarded by mu
}

// setDelivered notes that everything up to a position was handed over and acked.
func (d *deliveryState) setDelivered(at domain.Position) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delivered = at
}

// feedLost notes that a feed has failed, and when it last heard from the broker.
func (d *deliveryState) feedLost(feed Feed) {
	since := time.Now()
	if h, ok := feed.(LastHeard); ok {
		since = h.LastHeard()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.noFeedSince = since
}

// feedRestored notes that there is a feed again.
func (d *deliveryState) feedRestored() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.noFeedSince = time.Time{}
}

func (d *deliveryState) snapshot() (delivered domain.Position, noFeedSince time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.delivered, d.noFeedSince
}

// A lagMonitor compares how far the subscriptions have come with where the logs
// end. It belongs to the goroutine of [Transport.Run].
type lagMonitor struct {
	t            *Transport
	answersSince time.Time                // since when the broker answers; zero if it does not
	tails        map[string][]tail        // of each topic that is followed, oldest first
	marks        map[*subscription][]tail // tails that it has not come to, oldest first; see lags
	unknownTails limitedLog
}

// A tail is where a log ended at a time.
type tail struct {
	seen time.Time
	at   domain.Position
}

func newLagMonitor(t *Transport) *lagMonitor {
	return &lagMonitor{
		t: t, tails: make(map[string][]tail), unknownTails: limitedLog{every: time.Minute},
	}
}

// update asks where the logs end, if the broker answers. While it does not,
// nothing counts as lag.
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

// lagging returns the topics of the subscriptions that lag, while the broker
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
// the broker does not tell in time keeps those that were seen before.
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
	_ = asking.Wait() // none of them returns an error
	for topic, at := range seen {
		m.tails[topic] = m.addTail(m.tails[topic], tail{now, at})
	}
}

// logUnknownTail logs that a topic's tail is not known: nobody would notice if its
// subscriptions fell behind. That an answer comes late now and then is not worth
// a warning.
func (m *lagMonitor) logUnknownTail(ctx context.Context, topic string, err error) {
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		m.t.cfg.Logger.Debug("where the log ends is not known", "topic", topic, "error", err)
		return
	}
	m.unknownTails.warn(m.t.cfg.Logger,
		"where the log ends is not known: nobody notices if this node falls behind",
		"topic", topic, "error", err)
}

// addTail adds a tail, and drops those that are too old to decide anything. A log
// that ends before where it ended earlier has begun anew, or its end was taken
// back: then no older tail counts.
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

// tooLong reports whether what began then and lasts now makes the Transport deaf.
func (m *lagMonitor) tooLong(then, now time.Time) bool {
	return now.Sub(then) >= m.t.cfg.DeafAfter-tailSlack
}

func (m *lagMonitor) isLagging(s *subscription, now time.Time) bool {
	delivered, noFeedSince := s.snapshot()
	if !noFeedSince.IsZero() {
		if m.tooLong(laterOf(noFeedSince, m.answersSince), now) { // before that the bus was down
			return true
		}
	}
	tails := m.tails[s.topic]
	return len(tails) > 0 && m.tooLong(tails[0].seen, now) && delivered < tails[0].at
}
