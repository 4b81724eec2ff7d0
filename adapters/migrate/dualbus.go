package migrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/defaults"
)

// Config tunes a [DualBus]. The zero Config has the defaults.
type Config struct {
	// RetryMin is the first pause if the new bus cannot be subscribed to. It is
	// doubled each time, up to RetryMax. Defaults: 50 ms and 2 s.
	RetryMin, RetryMax time.Duration
	// ReadbackTimeout is how long PublishContext waits until it has read back
	// what it published on the old bus. Default: 2 s.
	ReadbackTimeout time.Duration
	// DeafAfter is how long a subscription may wait for the mark's copy before
	// the DualBus is deaf. Default: 5 s.
	DeafAfter time.Duration
	// Topics are those that will be subscribed to soon. Until that has happened,
	// nobody knows whether the new bus has taken over, so publishing on them
	// waits, at most for ReadbackTimeout.
	Topics []string
	Logger *slog.Logger // default: discard
}

func (c Config) withDefaults() Config {
	defaults.Set(&c.RetryMin, 50*time.Millisecond)
	defaults.Set(&c.RetryMax, 2*time.Second)
	defaults.Set(&c.ReadbackTimeout, 2*time.Second)
	defaults.Set(&c.DeafAfter, 5*time.Second)
	c.RetryMax = max(c.RetryMin, c.RetryMax)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// A DualBus presents two buses as one: the old bus, and the new one that takes
// over from it. It has the methods of [transport.Transport] that a node needs,
// and is safe for concurrent use.
type DualBus struct {
	from, to  *transport.Transport
	cfg       Config
	ctx       context.Context // ends with Close
	end       context.CancelFunc
	readbacks *readbacks
	// recheck holds one token if what Up returns may have changed.
	recheck chan struct{}

	mu            sync.Mutex
	closed        bool                   // guarded by mu
	running       sync.WaitGroup         // subscriptions; Add under mu while not closed
	topics        map[string]*topicState // guarded by mu
	topicsChanged chan struct{}          // closed, and replaced, when topics change; guarded by mu
}

// A topicState is what a DualBus knows about a topic. DualBus.mu guards it.
type topicState struct {
	newLog            domain.LogID // the log on the new bus
	moved             bool         // the new bus has taken over
	subscriptions     int
	awaitsCutoverMark time.Time // since when a subscription waits for the mark's copy; zero: none does
}

// NewDualBus makes one bus of two, which it then owns. Both must keep logs, else
// the error is a [domain.ErrUnsupported].
func NewDualBus(from, to *transport.Transport, cfg Config) (*DualBus, error) {
	if !from.Guarantees().Log || !to.Guarantees().Log {
		return nil, fmt.Errorf("move: both buses must keep a log: %w", domain.ErrUnsupported)
	}
	b := &DualBus{
		from: from, to: to, cfg: cfg.withDefaults(),
		readbacks: newReadbacks(), recheck: make(chan struct{}, 1),
		topics: make(map[string]*topicState), topicsChanged: make(chan struct{}),
	}
	b.ctx, b.end = context.WithCancel(context.Background())
	return b, nil
}

// Guarantees returns what both buses promise.
func (b *DualBus) Guarantees() transport.Guarantees {
	from, to := b.from.Guarantees(), b.to.Guarantees()
	return transport.Guarantees{
		Log:        true,
		AtLeast:    from.AtLeast && to.AtLeast,
		TotalOrder: from.TotalOrder && to.TotalOrder,
		Groups:     from.Groups && to.Groups,
	}
}

// Buses returns the old bus and the new one, for a topic that is read on both; see
// [DualBus.PublishToBoth]. They remain the DualBus's: only it closes them.
func (b *DualBus) Buses() (from, to *transport.Transport) { return b.from, b.to }

// CheckTopic returns an error unless both buses can carry a topic of this name.
func (b *DualBus) CheckTopic(topic string) error {
	return errors.Join(b.from.CheckTopic(topic), b.to.CheckTopic(topic))
}

// Replay reads again the log that after is in; see [transport.Transport.Replay].
// If the topic has moved and the old bus cannot be reached, the error is a
// [domain.GapError], since the old bus may never come back.
func (b *DualBus) Replay(
	ctx context.Context, topic string, after domain.Location, from time.Time,
	yield func([]domain.Entry) (more bool),
) error {
	bus, moved := b.holding(topic, after.Log)
	err := bus.Replay(ctx, topic, after, from, yield)
	if bus == b.to {
		return err
	}
	if moved && errors.Is(err, domain.ErrBusDown) {
		return &domain.GapError{
			Reason: domain.Trimmed,
			Detail: fmt.Sprintf("the bus was moved, and the old one is down: %v", err),
		}
	}
	return err
}

// Back counts entries back in the log that upTo is in or, if upTo names none, in the one
// that is current; see [transport.Transport.Back].
func (b *DualBus) Back(
	ctx context.Context, topic string, upTo domain.Location, n int,
) (at domain.Position, start bool, err error) {
	bus := b.current(topic)
	if upTo.Log != 0 {
		bus, _ = b.holding(topic, upTo.Log)
	}
	return bus.Back(ctx, topic, upTo, n)
}

// holding returns the bus that has a log of the topic: the old one, unless the log is known
// to be the new one's. It also reports whether the topic has moved.
func (b *DualBus) holding(topic string, log domain.LogID) (bus *transport.Transport, moved bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[topic]
	if t != nil && t.newLog == log {
		return b.to, t.moved
	}
	return b.from, t != nil && t.moved
}

// Locate translates locations in earlier logs to the log that is current; see
// [transport.Transport.Locate].
func (b *DualBus) Locate(
	ctx context.Context, topic string, wanted []domain.Location, from time.Time, most int,
) (found []domain.Location, looked int, err error) {
	return b.current(topic).Locate(ctx, topic, wanted, from, most)
}

// Origins returns the logs of which the current log holds copies; see
// [transport.Transport.Origins].
func (b *DualBus) Origins(ctx context.Context, topic string, most int) ([]domain.LogID, int, error) {
	return b.current(topic).Origins(ctx, topic, most)
}

// current returns the bus that defines the order of the topic now, as far as
// this DualBus knows.
func (b *DualBus) current(topic string) *transport.Transport {
	if b.hasMoved(topic) {
		return b.to
	}
	return b.from
}

// Up reports whether the buses that are needed now answer. The new bus is needed
// once a topic has moved or a subscription waits for the mark's copy, the old bus
// as long as some topic has not got that far.
func (b *DualBus) Up() bool {
	b.mu.Lock()
	needOld, needNew := len(b.topics) == 0, false
	for _, t := range b.topics {
		onNew := t.moved || !t.awaitsCutoverMark.IsZero()
		needNew = needNew || onNew
		needOld = needOld || !onNew
	}
	b.mu.Unlock()
	return (!needOld || b.from.Up()) && (!needNew || b.to.Up())
}

// Deaf reports whether one of the buses is deaf, or a subscription has waited
// too long for the mark's copy. In that case no [Bridge] runs, or it is far
// behind.
func (b *DualBus) Deaf() bool { return len(b.Awaited()) > 0 || len(b.DeafTopics()) > 0 }

// DeafTopics returns the topics that are behind on one of the buses; see
// [transport.Transport.DeafTopics].
func (b *DualBus) DeafTopics() []string {
	return slices.Concat(b.from.DeafTopics(), b.to.DeafTopics())
}

// Lags returns how far the topics that are followed are behind, on the bus where that is
// further; see [transport.Transport.Lags].
func (b *DualBus) Lags() map[string]time.Duration {
	all := make(map[string]time.Duration)
	for _, bus := range []*transport.Transport{b.from, b.to} {
		for topic, lag := range bus.Lags() {
			all[topic] = max(all[topic], lag)
		}
	}
	return all
}

// Awaited returns the topics for which subscriptions have waited for the mark's
// copy longer than [Config].DeafAfter. It is the same on every node that uses
// both buses, since all of them wait for the same copy.
func (b *DualBus) Awaited() (topics []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, t := range b.topics {
		if !t.awaitsCutoverMark.IsZero() && time.Since(t.awaitsCutoverMark) > b.cfg.DeafAfter {
			topics = append(topics, name)
		}
	}
	return topics
}

// Moved returns how many of the topics that are subscribed to have moved.
func (b *DualBus) Moved() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.topics {
		if t.moved && t.subscriptions > 0 {
			n++
		}
	}
	return n
}

// Stats returns the sums of both buses' statistics.
func (b *DualBus) Stats() transport.Stats { return b.from.Stats().Plus(b.to.Stats()) }

// Run watches both buses until ctx ends or the DualBus is closed, and then
// returns nil. It calls changed first with what Up returns, and again whenever
// that has changed.
func (b *DualBus) Run(ctx context.Context, changed func(up bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	var watching errgroup.Group
	for _, bus := range []*transport.Transport{b.from, b.to} {
		watching.Go(func() error {
			return bus.Run(ctx, func(bool) { b.requestRecheck() })
		})
	}
	defer watching.Wait()
	for reported, last := false, false; ; {
		select {
		case <-b.recheck:
		case <-ctx.Done():
			return nil
		}
		if up := b.Up(); !reported || up != last {
			reported, last = true, up
			changed(up)
		}
	}
}

func (b *DualBus) requestRecheck() {
	select {
	case b.recheck <- struct{}{}:
	default: // one is requested already
	}
}

// Close ends all subscriptions, waits for them, and closes both buses. It is
// idempotent.
func (b *DualBus) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.end()
	err := errors.Join(b.from.Close(), b.to.Close())
	b.running.Wait()
	return err
}

// hasMoved reports whether a subscription has found that the new bus has taken
// over.
func (b *DualBus) hasMoved(topic string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[topic]
	return t != nil && t.moved
}

// updateTopic changes what is known about a topic. It forgets a topic that has
// not moved and has no subscription.
func (b *DualBus) updateTopic(name string, change func(t *topicState)) {
	b.mu.Lock()
	t := b.topics[name]
	if t == nil {
		t = &topicState{}
		b.topics[name] = t
	}
	change(t)
	if t.subscriptions == 0 && !t.moved {
		delete(b.topics, name)
	}
	close(b.topicsChanged)
	b.topicsChanged = make(chan struct{})
	b.mu.Unlock()
	b.requestRecheck()
}
