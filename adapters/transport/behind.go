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
	// lookAtOnce is how many tails are asked for at the same time.
	lookAtOnce = 4
	// askSlack: since when a log is ahead is known to a round of Run, of which the
	// middle is taken. So Deaf is told up to half a second early or late.
	askSlack = pingEvery / 2
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
	if topics := t.behind.Load(); topics != nil {
		return *topics
	}
	return nil
}

// progress is how far a subscription has come, for who watches it.
type progress struct {
	mu     sync.Mutex
	handed domain.Position // handed over and acked; guarded by mu
	mute   time.Time       // since when there is no feed; zero with one; guarded by mu
}

// reach notes that everything up to a place was handed over.
func (p *progress) reach(at domain.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handed = at
}

// fall notes that the feed is over, and rise that there is one again.
func (p *progress) fall(over Feed) {
	mute := time.Now()
	if h, ok := over.(LastHeard); ok {
		mute = h.LastHeard()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = mute
}

func (p *progress) rise() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = time.Time{}
}

func (p *progress) now() (handed domain.Position, mute time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handed, p.mute
}

// A lagMonitor compares how far the subscriptions are with where the logs end. It
// is Run's alone.
type lagMonitor struct {
	t       *Transport
	answers time.Time         // since when the broker answers; zero if it does not
	tails   map[string][]tail // of each topic that is followed, oldest first
	blind   limitedLog
}

// A tail is where a log ended.
type tail struct {
	seen time.Time
	at   domain.Position
}

func newLagMonitor(t *Transport) *lagMonitor {
	return &lagMonitor{t: t, tails: make(map[string][]tail), blind: limitedLog{every: time.Minute}}
}

// ask notes where the logs end, if the broker answers.
func (m *lagMonitor) ask(ctx context.Context, up bool) {
	if !up {
		m.answers = time.Time{}
		clear(m.tails)
		return
	}
	now := time.Now()
	if m.answers.IsZero() {
		m.answers = now
	}
	m.note(ctx, now, m.t.followers())
}

// behind returns the topics of subscriptions that are behind, while the broker
// answers.
func (m *lagMonitor) behind() (topics []string) {
	if m.answers.IsZero() {
		return nil
	}
	now := time.Now()
	for _, s := range m.t.followers() {
		if m.isBehind(s, now) {
			topics = append(topics, s.topic)
		}
	}
	return topics
}

// note asks for the tails of all topics that are followed. A topic whose tail
// is not told in time keeps those that were seen before.
func (m *lagMonitor) note(ctx context.Context, now time.Time, all []*subscription) {
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
	asking.SetLimit(lookAtOnce)
	for topic := range topics {
		asking.Go(func() error {
			at, err := m.t.log.Tail(ctx, topic)
			if err != nil {
				m.tell(ctx, topic, err)
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
		m.tails[topic] = m.extend(m.tails[topic], tail{now, at})
	}
}

// tell says that a topic's tail is not known: nobody would notice if its
// subscriptions fell behind. That an answer is late now and then is no news.
func (m *lagMonitor) tell(ctx context.Context, topic string, err error) {
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		m.t.cfg.Logger.Debug("where the log ends is not known", "topic", topic, "error", err)
		return
	}
	m.blind.warn(m.t.cfg.Logger, "where the log ends is not known: nobody notices if this node falls behind",
		"topic", topic, "error", err)
}

// extend adds a tail, and drops those that are older than is of interest. A log
// that ends before where it ended has begun anew, or its end was taken back:
// nothing older counts.
func (m *lagMonitor) extend(seen []tail, last tail) []tail {
	if n := len(seen); n > 0 && last.at < seen[n-1].at {
		seen = nil
	}
	seen = append(seen, last)
	for len(seen) > 1 && m.old(seen[1].seen, last.seen) {
		seen = seen[1:]
	}
	return seen
}

func (m *lagMonitor) old(then, now time.Time) bool {
	return now.Sub(then) >= m.t.cfg.DeafAfter-askSlack
}

func (m *lagMonitor) isBehind(s *subscription, now time.Time) bool {
	handed, mute := s.now()
	if !mute.IsZero() {
		if mute.Before(m.answers) {
			mute = m.answers
		}
		if m.old(mute, now) {
			return true
		}
	}
	tails := m.tails[s.topic]
	return len(tails) > 0 && m.old(tails[0].seen, now) && handed < tails[0].at
}
