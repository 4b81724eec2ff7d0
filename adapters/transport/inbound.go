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
	entryOverhead = 256                    // bytes that a broker needs beside an envelope, about
	inboundEvery  = time.Second            // how often the bus is asked at most, for one topic
	inboundIdle   = 10 * time.Second       // how often while there is room enough
	inboundWait   = 500 * time.Millisecond // how long an answer may take
	inboundSlack  = 3 * time.Second        // how much later a message may reach the bus than it was counted
	inboundKnown  = time.Hour              // what is older is forgotten if the bus does not answer
	inboundStep   = time.Second            // what is sent within it is forgotten together
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
	if t.trims.published {
		t.trims.markInbound(topic)
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
	bus     unconsumer
	limits  InboundLimits
	log     *slog.Logger
	unknown limitedLog // lines on buses that do not answer

	mu     sync.Mutex
	users  map[string]int64    // bytes; guarded by mu
	topics map[string]*account // guarded by mu
}

// An account is one topic's. The ledger's mu guards it.
type account struct {
	total   int64
	sent    []sending // oldest first
	looked  time.Time // when the bus was last asked
	looking bool
	off     bool // the bus cannot say what is consumed
}

// A sending is what was sent within inboundStep.
type sending struct {
	from  time.Time
	bytes map[string]int64 // by user
}

func newLedger(bus unconsumer, limits InboundLimits, log *slog.Logger) *ledger {
	return &ledger{bus: bus, limits: limits, log: log, unknown: limitedLog{every: time.Minute},
		users: make(map[string]int64), topics: make(map[string]*account)}
}

// take counts what a user is about to send, or says that there is no room for
// it: domain.ErrInboundFull. Giveback ends the counting of what was not sent.
func (l *ledger) take(ctx context.Context, topic, user string, bytes int64) (giveback func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.topics[topic]
	if a == nil {
		l.sweep(time.Now())
		a = &account{}
		l.topics[topic] = a
	}
	if l.due(a, user, bytes, time.Now()) {
		l.look(ctx, topic, a)
	}
	switch {
	case a.off:
		return func() {}, nil
	case l.over(a, user, bytes, 1):
		return nil, domain.ErrInboundFull
	}
	now := time.Now()
	last := len(a.sent) - 1
	if last < 0 || now.Sub(a.sent[last].from) >= inboundStep {
		a.sent = append(a.sent, sending{from: now, bytes: make(map[string]int64)})
		last++
	}
	counted := a.sent[last].bytes
	counted[user] += bytes
	a.total += bytes
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

// over says whether more than one share in so many of a limit would be used. One
// message is never too much, however large it is.
func (l *ledger) over(a *account, user string, bytes, share int64) bool {
	over := func(used, limit int64) bool { return limit > 0 && used > 0 && share*(used+bytes) > limit }
	return over(l.users[user], l.limits.User) || over(a.total, l.limits.System)
}

// due says whether the bus is to be asked: the first time, and when it gets
// tight.
func (l *ledger) due(a *account, user string, bytes int64, now time.Time) bool {
	since := now.Sub(a.looked)
	return !a.off && !a.looking && (since >= inboundIdle || since >= inboundEvery && l.over(a, user, bytes, 2))
}

// look asks the bus what is consumed of a topic. It is called with mu held, and
// lets go of it meanwhile.
func (l *ledger) look(ctx context.Context, topic string, a *account) {
	start := time.Now()
	a.looking, a.looked = true, start
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, inboundWait)
	oldest, err := l.bus.Unconsumed(ctx, topic)
	cancel()
	l.mu.Lock()
	a.looking = false
	switch {
	case errors.Is(err, domain.ErrUnsupported):
		a.off = true
	case err != nil:
		l.unknown.warn(l.log, "what was consumed of an inbound topic is not known", "topic", topic, "error", err)
		l.forget(a, start.Add(-inboundKnown))
	default:
		l.forget(a, start.Add(-oldest-inboundSlack))
	}
}

// forget ends the counting of what was sent before a time.
func (l *ledger) forget(a *account, before time.Time) {
	for len(a.sent) > 0 && !a.sent[0].from.Add(inboundStep).After(before) {
		for user, bytes := range a.sent[0].bytes {
			l.subtract(a, user, bytes)
		}
		clear(a.sent[0].bytes) // for givebacks that are to come
		a.sent = a.sent[1:]
	}
}

func (l *ledger) subtract(a *account, user string, bytes int64) {
	a.total -= bytes
	if l.users[user] -= bytes; l.users[user] <= 0 {
		delete(l.users, user)
	}
}

// sweepUnused drops topics that nothing is counted for: names that never come
// again.
func (l *ledger) sweep(now time.Time) {
	for topic, a := range l.topics {
		if a.total == 0 && !a.looking && now.Sub(a.looked) > inboundIdle {
			delete(l.topics, topic)
		}
	}
}
