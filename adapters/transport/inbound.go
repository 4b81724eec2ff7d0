package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// InboundLimits bound what lies on inbound topics and is not consumed yet, of
// what this node has put there: in bytes of envelopes, each with what a broker
// needs beside it. Zero is no limit. They count where the bus can say what is
// consumed (see ConsumedTrimmer), and nowhere else.
type InboundLimits struct {
	User   int64 // of one user, in all systems
	System int64 // in one system, of all users
}

const (
	entryOverhead  = 256                    // bytes that a broker needs beside an envelope, about
	askEvery       = time.Second            // how often the bus is asked at most, for one topic
	askEveryIdle   = 10 * time.Second       // how often while there is room enough
	maxOtherTopics = 4                      // how many topics more it is asked for at most, for one message
	askTimeout     = 500 * time.Millisecond // how long an answer may take
	publishSlack   = 3 * time.Second        // how much later a message may reach the bus than it was counted
	maxUnanswered  = time.Hour              // what is older is forgotten if the bus does not answer
	intervalLength = time.Second            // what is sent within it is forgotten together
)

// An unconsumer is the side of a Transport that says what is not consumed yet.
type unconsumer interface {
	Unconsumed(ctx context.Context, topic string) (oldest time.Duration, err error)
}

// Unconsumed says how old the oldest entry of an inbound topic is that some
// consumer group has not acked; 0 if there is none. From then on what all groups
// have acked is trimmed from the topic. Errors: domain.ErrUnsupported if the bus
// does not know, or what the driver says.
func (t *Transport) Unconsumed(ctx context.Context, topic string) (oldest time.Duration, err error) {
	driver, ok := t.driver.(ConsumedTrimmer)
	if !ok {
		return 0, fmt.Errorf("transport: what is consumed of %q: %w", topic, domain.ErrUnsupported)
	}
	if t.trimming.trimsPublished {
		t.trimming.markInbound(topic)
		t.startTrimming()
	}
	oldest, err = driver.TrimConsumed(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("transport: what is consumed of %q: %w", topic, busError(err))
	}
	return oldest, nil
}

// A ledger counts what users have sent to inbound topics, until it is consumed.
// It is safe for concurrent use.
type ledger struct {
	bus        unconsumer
	limits     InboundLimits
	log        *slog.Logger
	unanswered limitedLog // lines on buses that do not answer

	mu     sync.Mutex
	users  map[string]int64    // bytes, on all topics; guarded by mu
	topics map[string]*account // guarded by mu
}

// An account is one topic's. The ledger's mu guards it.
type account struct {
	topic       string
	total       int64
	users       map[string]int64 // bytes by user: the same ones as total
	intervals   []interval       // oldest first
	askedAt     time.Time        // when the bus was last asked
	asking      bool
	unsupported bool // the bus cannot say what is consumed
}

// A interval is what was sent within inboundStep.
type interval struct {
	from  time.Time
	bytes map[string]int64 // by user
}

func newLedger(bus unconsumer, limits InboundLimits, log *slog.Logger) *ledger {
	return &ledger{bus: bus, limits: limits, log: log, unanswered: limitedLog{every: time.Minute},
		users: make(map[string]int64), topics: make(map[string]*account)}
}

// reserve counts what a user is about to send, or says that there is no room for
// it: domain.ErrInboundFull. Giveback ends the counting of what was not sent.
func (l *ledger) reserve(ctx context.Context, topic, user string, bytes int64) (giveback func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refreshDue(ctx, topic, user, bytes)
	a := l.account(topic)
	switch {
	case a.unsupported:
		return func() {}, nil
	case l.over(a, user, bytes, 1):
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

// account returns a topic's. It is dropped when nothing has been counted for a
// while.
func (l *ledger) account(topic string) *account {
	a := l.topics[topic]
	if a == nil {
		a = &account{topic: topic, users: make(map[string]int64)}
		l.topics[topic] = a
	}
	return a
}

// add counts what was sent, and returns the count that it is in.
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

// refreshDue brings up to date what is known of the topic that a user is about to send
// to, if that is due. It does so for others, too: those that a user without room
// has sent to, or nobody would notice that they were consumed; and for each new
// name an old one, so that names that never come again leave nothing behind. It
// lets go of mu meanwhile.
func (l *ledger) refreshDue(ctx context.Context, topic, user string, bytes int64) {
	now := time.Now()
	if l.topics[topic] == nil {
		l.sweep(now)
		if old := l.leastRecentlyAsked(now.Add(-askEveryIdle), func(*account) bool { return true }); old != nil {
			l.refresh(ctx, old)
		}
	}
	a := l.account(topic)
	if l.due(a, user, bytes, now) {
		l.refresh(ctx, a)
	}
	for range maxOtherTopics {
		if a.unsupported || !over(l.users[user], bytes, l.limits.User) {
			return
		}
		other := l.leastRecentlyAsked(time.Now().Add(-askEvery), func(a *account) bool { return a.users[user] > 0 })
		if other == nil {
			return
		}
		l.refresh(ctx, other)
	}
}

// leastRecentlyAsked returns the account of which the bus was last asked the longest ago,
// among those that something is counted for, that match, and that it was not
// asked of since a time. Nil if there is none.
func (l *ledger) leastRecentlyAsked(since time.Time, match func(*account) bool) (found *account) {
	for _, a := range l.topics {
		if a.total > 0 && !a.asking && !a.askedAt.After(since) && match(a) && (found == nil || a.askedAt.Before(found.askedAt)) {
			found = a
		}
	}
	return found
}

// over says whether more than one share in so many of a limit would be used.
func (l *ledger) over(a *account, user string, bytes, share int64) bool {
	return over(l.users[user], bytes, l.limits.User/share) || over(a.total, bytes, l.limits.System/share)
}

// over says whether a limit does not allow so many bytes more. One message is
// never too much, however large it is.
func over(used, bytes, limit int64) bool { return limit > 0 && used > 0 && used+bytes > limit }

// due says whether the bus is to be asked: the first time, and when it gets
// tight.
func (l *ledger) due(a *account, user string, bytes int64, now time.Time) bool {
	since := now.Sub(a.askedAt)
	return !a.unsupported && !a.asking && (since >= askEveryIdle || since >= askEvery && l.over(a, user, bytes, 2))
}

// refresh asks the bus what is consumed of a topic. It is called with mu held, and
// lets go of it meanwhile.
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
		l.forget(a, start.Add(maxUnanswered)) // the topic was moved to this bus: all of it
	case err != nil:
		l.unanswered.warn(l.log, "what was consumed of an inbound topic is not known", "topic", a.topic, "error", err)
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
		clear(a.intervals[0].bytes) // for givebacks that are to come
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

// sweep drops topics that nothing is counted for.
func (l *ledger) sweep(now time.Time) {
	for topic, a := range l.topics {
		if a.total == 0 && !a.asking && now.Sub(a.askedAt) > askEveryIdle {
			delete(l.topics, topic)
		}
	}
}
