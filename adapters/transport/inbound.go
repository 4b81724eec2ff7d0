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
	inboundOthers = 4                      // how many topics more it is asked for at most, for one message
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
	users  map[string]int64    // bytes, on all topics; guarded by mu
	topics map[string]*account // guarded by mu
}

// An account is one topic's. The ledger's mu guards it.
type account struct {
	topic   string
	total   int64
	users   map[string]int64 // bytes by user: the same ones as total
	sent    []sending        // oldest first
	looked  time.Time        // when the bus was last asked
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
	l.ask(ctx, topic, user, bytes)
	a := l.account(topic)
	switch {
	case a.off:
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
	last := len(a.sent) - 1
	if last < 0 || now.Sub(a.sent[last].from) >= inboundStep {
		a.sent = append(a.sent, sending{from: now, bytes: make(map[string]int64)})
		last++
	}
	counted = a.sent[last].bytes
	counted[user] += bytes
	a.total += bytes
	a.users[user] += bytes
	return counted
}

// ask brings up to date what is known of the topic that a user is about to send
// to, if that is due. It does so for others, too: those that a user without room
// has sent to, or nobody would notice that they were consumed; and for each new
// name an old one, so that names that never come again leave nothing behind. It
// lets go of mu meanwhile.
func (l *ledger) ask(ctx context.Context, topic, user string, bytes int64) {
	now := time.Now()
	if l.topics[topic] == nil {
		l.sweep(now)
		if old := l.longestAgo(now.Add(-inboundIdle), func(*account) bool { return true }); old != nil {
			l.look(ctx, old)
		}
	}
	a := l.account(topic)
	if l.due(a, user, bytes, now) {
		l.look(ctx, a)
	}
	for range inboundOthers {
		if a.off || !over(l.users[user], bytes, l.limits.User) {
			return
		}
		other := l.longestAgo(time.Now().Add(-inboundEvery), func(a *account) bool { return a.users[user] > 0 })
		if other == nil {
			return
		}
		l.look(ctx, other)
	}
}

// longestAgo returns the account of which the bus was last asked the longest ago,
// among those that something is counted for, that match, and that it was not
// asked of since a time. Nil if there is none.
func (l *ledger) longestAgo(since time.Time, match func(*account) bool) (found *account) {
	for _, a := range l.topics {
		if a.total > 0 && !a.looking && !a.looked.After(since) && match(a) && (found == nil || a.looked.Before(found.looked)) {
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
	since := now.Sub(a.looked)
	return !a.off && !a.looking && (since >= inboundIdle || since >= inboundEvery && l.over(a, user, bytes, 2))
}

// look asks the bus what is consumed of a topic. It is called with mu held, and
// lets go of it meanwhile.
func (l *ledger) look(ctx context.Context, a *account) {
	start := time.Now()
	a.looking, a.looked = true, start
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, inboundWait)
	oldest, err := l.bus.Unconsumed(ctx, a.topic)
	cancel()
	l.mu.Lock()
	a.looking = false
	switch {
	case errors.Is(err, domain.ErrUnsupported):
		a.off = true
		l.forget(a, start.Add(inboundKnown)) // the topic was moved to this bus: all of it
	case err != nil:
		l.unknown.warn(l.log, "what was consumed of an inbound topic is not known", "topic", a.topic, "error", err)
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
		if a.total == 0 && !a.looking && now.Sub(a.looked) > inboundIdle {
			delete(l.topics, topic)
		}
	}
}
