package transport

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

const (
	// entryOverhead is, about, what a broker needs beside an envelope, in bytes.
	entryOverhead = 256
	// askEvery is how often the bus is asked about one topic at most, and
	// askEveryIdle how often while there is room enough.
	askEvery     = time.Second
	askEveryIdle = 10 * time.Second
	// maxOtherTopics is how many other topics the bus is asked about at most, for
	// one message.
	maxOtherTopics = 4
	// askTimeout is how long an answer may take.
	askTimeout = 500 * time.Millisecond
	// publishSlack is how much later than it was counted a message may reach the
	// bus.
	publishSlack = 3 * time.Second
	// maxUnanswered is how long messages stay counted if the bus does not answer.
	maxUnanswered = time.Hour
	// intervalLength is the time within which what is sent is forgotten together.
	intervalLength = time.Second
)

// A ledger counts what users have sent to inbound topics, until it is consumed.
// It asks the bus how old the oldest message is that is not consumed, and forgets
// what was sent before that. It is safe for concurrent use.
type ledger struct {
	bus        unconsumer
	limits     InboundLimits
	log        *slog.Logger
	unanswered limitedLog // lines on topics of which the bus does not say what is consumed

	mu     sync.Mutex
	users  map[string]int64    // bytes by user, on all topics; guarded by mu
	topics map[string]*account // guarded by mu
}

// An account is one topic's part. The ledger's mu guards it.
type account struct {
	topic       string
	total       int64            // bytes
	users       map[string]int64 // the same bytes, by user
	intervals   []interval       // the same bytes, by the time when they were sent; oldest first
	askedAt     time.Time        // when the bus was last asked
	asking      bool             // it is being asked
	unsupported bool             // it cannot say what is consumed: nothing is limited
}

// An interval is what was sent within intervalLength.
type interval struct {
	from  time.Time
	bytes map[string]int64 // by user
}

func newLedger(bus unconsumer, limits InboundLimits, log *slog.Logger) *ledger {
	return &ledger{
		bus: bus, limits: limits, log: log, unanswered: limitedLog{every: time.Minute},
		users: make(map[string]int64), topics: make(map[string]*account),
	}
}

// reserve counts what a user is about to send, or returns [domain.ErrInboundFull] if
// there is no room for it. The caller calls giveBack for what the bus did not take
// after all.
func (l *ledger) reserve(
	ctx context.Context, topic, user string, bytes int64,
) (giveBack func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refreshDue(ctx, topic, user, bytes)
	a := l.account(topic)
	switch {
	case a.unsupported:
		return func() {}, nil
	case l.overShare(a, user, bytes, 1):
		return nil, domain.ErrInboundFull
	}
	counted := a.add(time.Now(), user, bytes)
	l.users[user] += bytes
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if counted[user] >= bytes { // else it was forgotten meanwhile
			counted[user] -= bytes
			l.subtract(a, user, bytes)
		}
	}, nil
}

// account returns a topic's account, a new one if there is none.
func (l *ledger) account(topic string) *account {
	a := l.topics[topic]
	if a == nil {
		a = &account{topic: topic, users: make(map[string]int64)}
		l.topics[topic] = a
	}
	return a
}

// add counts what is sent now, and returns the interval's counts that it is in.
func (a *account) add(now time.Time, user string, bytes int64) (counted map[string]int64) {
	last := len(a.intervals) - 1
	if last < 0 || now.Sub(a.intervals[last].from) >= intervalLength {
		a.intervals = append(a.intervals, interval{from: now, bytes: make(map[string]int64)})
		last++
	}
	counted = a.intervals[last].bytes
	counted[user] += bytes
	a.total += bytes
	a.users[user] += bytes
	return counted
}

// refreshDue asks the bus about the topic that a user is about to send to, if that
// is due. It asks about other topics, too:
//
//   - If the user has no room, about those that the user has sent to before;
//     otherwise nobody would notice that they were consumed.
//   - If the topic is new here, about an old one, so that topics that are never
//     sent to again do not stay forever.
//
// It is called with mu held, and releases it while it waits for the bus.
func (l *ledger) refreshDue(ctx context.Context, topic, user string, bytes int64) {
	now := time.Now()
	if l.topics[topic] == nil {
		l.sweep(now)
		every := func(*account) bool { return true }
		if old := l.leastRecentlyAsked(now.Add(-askEveryIdle), every); old != nil {
			l.refresh(ctx, old)
		}
	}
	a := l.account(topic)
	if l.due(a, user, bytes, now) {
		l.refresh(ctx, a)
	}
	for range maxOtherTopics {
		if a.unsupported || !exceeds(l.users[user], bytes, l.limits.User) {
			return
		}
		hasUser := func(a *account) bool { return a.users[user] > 0 }
		other := l.leastRecentlyAsked(time.Now().Add(-askEvery), hasUser)
		if other == nil {
			return
		}
		l.refresh(ctx, other)
	}
}

// leastRecentlyAsked returns, among the accounts that have something counted and
// that match, the one that the bus was asked about the longest ago, and not after
// the time since. It returns nil if there is none.
func (l *ledger) leastRecentlyAsked(since time.Time, match func(*account) bool) (found *account) {
	for _, a := range l.topics {
		if a.total <= 0 || a.asking || a.askedAt.After(since) || !match(a) {
			continue
		}
		if found == nil || a.askedAt.Before(found.askedAt) {
			found = a
		}
	}
	return found
}

// overShare says whether that number of bytes more would exceed a fraction of a limit:
// all of it if share is 1, half of it if share is 2.
func (l *ledger) overShare(a *account, user string, bytes, share int64) bool {
	return exceeds(l.users[user], bytes, l.limits.User/share) ||
		exceeds(a.total, bytes, l.limits.System/share)
}

// exceeds says whether a limit forbids that number of bytes more. A single message is never
// too much, however large it is.
func exceeds(used, bytes, limit int64) bool { return limit > 0 && used > 0 && used+bytes > limit }

// due says whether the bus is to be asked about a topic: when it was not asked for
// a while, and more often when half of a limit is reached.
func (l *ledger) due(a *account, user string, bytes int64, now time.Time) bool {
	if a.unsupported || a.asking {
		return false
	}
	since := now.Sub(a.askedAt)
	return since >= askEveryIdle || since >= askEvery && l.overShare(a, user, bytes, 2)
}

// refresh asks the bus what is consumed of a topic. It is called with mu held, and
// releases it meanwhile.
func (l *ledger) refresh(ctx context.Context, a *account) {
	start := time.Now()
	a.asking, a.askedAt = true, start
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	oldest, err := l.bus.Unconsumed(ctx, a.topic)
	cancel()
	l.mu.Lock()
	a.asking = false
	switch {
	case errors.Is(err, domain.ErrUnsupported):
		a.unsupported = true
		// What is counted was sent to another bus, from which the topic was moved
		// here: all of it is forgotten.
		l.forget(a, start.Add(maxUnanswered))
	case err != nil:
		l.unanswered.warn(l.log, "what was consumed of an inbound topic is not known",
			"topic", a.topic, "error", err)
		l.forget(a, start.Add(-maxUnanswered))
	default:
		l.forget(a, start.Add(-oldest-publishSlack))
	}
}

// forget ends the counting of what was sent before a time.
func (l *ledger) forget(a *account, before time.Time) {
	for len(a.intervals) > 0 && !a.intervals[0].from.Add(intervalLength).After(before) {
		for user, bytes := range a.intervals[0].bytes {
			l.subtract(a, user, bytes)
		}
		clear(a.intervals[0].bytes) // so that a later giveBack finds that it is forgotten
		a.intervals = a.intervals[1:]
	}
}

func (l *ledger) subtract(a *account, user string, bytes int64) {
	a.total -= bytes
	if a.users[user] -= bytes; a.users[user] <= 0 {
		delete(a.users, user)
	}
	if l.users[user] -= bytes; l.users[user] <= 0 {
		delete(l.users, user)
	}
}

// sweep drops the accounts in which nothing is counted.
func (l *ledger) sweep(now time.Time) {
	for topic, a := range l.topics {
		if a.total == 0 && !a.asking && now.Sub(a.askedAt) > askEveryIdle {
			delete(l.topics, topic)
		}
	}
}
