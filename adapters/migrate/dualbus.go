package migrate

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// Config tunes a Bus. The zero Config is good.
type Config struct {
	RetryMin    time.Duration // first pause when the new bus does not confirm, doubled each time; default 50 ms
	RetryMax    time.Duration // longest pause; default 2 s
	EchoTimeout time.Duration // how long what was published on the old bus may take to come back; default 2 s
	DeafAfter   time.Duration // how long the copy of the mark may be waited for before the Bus is deaf; default 5 s
	// Topics are those that are going to be subscribed to, soon. Until they are,
	// publishing on them waits, at most for EchoTimeout: whether the new bus has
	// taken over is not known before.
	Topics []string
	Logger *slog.Logger // default: discard
}

func (c Config) withDefaults() Config {
	if c.RetryMin <= 0 {
		c.RetryMin = 50 * time.Millisecond
	}
	if c.RetryMax <= 0 {
		c.RetryMax = 2 * time.Second
	}
	c.RetryMax = max(c.RetryMin, c.RetryMax)
	if c.DeafAfter <= 0 {
		c.DeafAfter = 5 * time.Second
	}
	if c.EchoTimeout <= 0 {
		c.EchoTimeout = 2 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// A DualBus is two: the old one, and the one that takes over. It is used as a
// transport.Transport is, and safe for concurrent use.
type DualBus struct {
	from, to *transport.Transport
	cfg      Config
	ctx      context.Context // ends with Close
	end      context.CancelFunc
	echoes   readbacks
	changed  chan struct{} // holds one token when which bus counts may have changed

	mu      sync.Mutex
	closed  bool              // guarded by mu
	running sync.WaitGroup    // subscriptions; Add under mu while not closed
	topics  map[string]*topic // guarded by mu
	noted   chan struct{}     // closed when topics change; guarded by mu
}

// A topic is how far one has come.
type topic struct {
	next  domain.LogID // what takes over
	here  bool         // it has: on the new bus
	subs  int          // subscriptions
	since time.Time    // since when the mark's copy is waited for; zero if it is not
}

// NewDualBus makes one bus of two that keep logs, which it then owns.
func NewDualBus(from, to *transport.Transport, cfg Config) (*DualBus, error) {
	if !from.Guarantees().Log || !to.Guarantees().Log {
		return nil, fmt.Errorf("move: both buses must keep a log: %w", domain.ErrUnsupported)
	}
	b := &DualBus{from: from, to: to, cfg: cfg.withDefaults(), topics: make(map[string]*topic), noted: make(chan struct{}), changed: make(chan struct{}, 1),
		echoes: readbacks{seed: maphash.MakeSeed(), waiting: make(map[uint64][]*readback)}}
	b.ctx, b.end = context.WithCancel(context.Background())
	return b, nil
}

// Guarantees are what both buses promise.
func (b *DualBus) Guarantees() transport.Guarantees {
	f, t := b.from.Guarantees(), b.to.Guarantees()
	return transport.Guarantees{
		Log: true, AtLeast: f.AtLeast && t.AtLeast, TotalOrder: f.TotalOrder && t.TotalOrder, Groups: f.Groups && t.Groups,
	}
}

// CheckTopic says whether both buses can carry a topic of this name.
func (b *DualBus) CheckTopic(name string) error {
	return errors.Join(b.from.CheckTopic(name), b.to.CheckTopic(name))
}

// PublishContext publishes on the new bus if a subscription of the topic has
// arrived there, else on the old one: there it is copied from. An inbound topic
// goes with the topic that it belongs to.
//
// What it publishes on the old bus may stand behind the mark already, and then has
// no place in the order until it is copied. So where the topic is subscribed to
// it returns when the messages have come back: whatever is published afterwards,
// here or on another node, comes after them. If that takes longer than
// Config.EchoTimeout it is domain.ErrBusDown: they may come yet. Where the topic
// is not subscribed to, what is published next elsewhere may come before them.
func (b *DualBus) PublishContext(ctx context.Context, name string, messages ...*message.Message) error {
	served := strings.TrimSuffix(name, domain.InboundSuffix)
	if slices.Contains(b.cfg.Topics, served) {
		if err := b.awaitFollower(ctx, served); err != nil {
			return fmt.Errorf("move: publish to %q: %w", name, err)
		}
	}
	if b.isHere(served) {
		return b.to.PublishContext(ctx, name, messages...)
	}
	if !b.follows(name) {
		return b.from.PublishContext(ctx, name, messages...)
	}
	echo := b.echoes.expect(messages)
	defer b.echoes.forget(echo)
	if err := b.from.PublishContext(ctx, name, messages...); err != nil {
		return err
	}
	late := time.NewTimer(b.cfg.EchoTimeout)
	defer late.Stop()
	select {
	case <-echo.back:
		return nil
	case <-late.C:
		return fmt.Errorf("move: publish to %q: what was published does not come back: %w (outcome unknown)", name, domain.ErrBusDown)
	case <-ctx.Done():
		return fmt.Errorf("move: publish to %q: %w (outcome unknown)", name, ctx.Err())
	case <-b.ctx.Done():
		return fmt.Errorf("move: publish to %q: %w (outcome unknown)", name, domain.ErrClosed)
	}
}

// Unconsumed says how old the oldest entry of an inbound topic is that is not
// consumed yet, on the bus on which PublishContext would publish there; see
// transport.Transport.Unconsumed.
func (b *DualBus) Unconsumed(ctx context.Context, name string) (time.Duration, error) {
	if b.isHere(strings.TrimSuffix(name, domain.InboundSuffix)) {
		return b.to.Unconsumed(ctx, name)
	}
	return b.from.Unconsumed(ctx, name)
}

// Replay reads the log again that after is in; see transport.Transport.Replay.
// Once the topic has moved, an old bus that cannot be reached is a
// *domain.GapError: it need not come back.
func (b *DualBus) Replay(ctx context.Context, name string, after domain.Location, from time.Time, yield func([]domain.Entry) (more bool)) error {
	b.mu.Lock()
	t := b.topics[name]
	inNew, here := t != nil && t.next == after.Log, t != nil && t.here
	b.mu.Unlock()
	if inNew {
		return b.to.Replay(ctx, name, after, from, yield)
	}
	err := b.from.Replay(ctx, name, after, from, yield)
	if here && errors.Is(err, domain.ErrBusDown) {
		return &domain.GapError{Reason: domain.Trimmed, Detail: fmt.Sprintf("the bus was moved, and the old one is down: %v", err)}
	}
	return err
}

// Locate looks for places of earlier logs in the present one; see
// transport.Transport.Locate.
func (b *DualBus) Locate(ctx context.Context, name string, wanted []domain.Location, from time.Time, most int) ([]domain.Location, int, error) {
	return b.present(name).Locate(ctx, name, wanted, from, most)
}

// Origins returns the logs of which the present one holds copies; see
// transport.Transport.Origins.
func (b *DualBus) Origins(ctx context.Context, name string, most int) ([]domain.LogID, int, error) {
	return b.present(name).Origins(ctx, name, most)
}

// present is the bus that counts for a topic.
func (b *DualBus) present(name string) *transport.Transport {
	if b.isHere(name) {
		return b.to
	}
	return b.from
}

// Up reports whether the buses that count now answer: the new one once a topic
// has arrived there or is on its way, the old one as long as a topic is there.
func (b *DualBus) Up() bool {
	b.mu.Lock()
	from, to := len(b.topics) == 0, false
	for _, t := range b.topics {
		to = to || t.here || !t.since.IsZero()
		from = from || !t.here && t.since.IsZero()
	}
	b.mu.Unlock()
	return (!from || b.from.Up()) && (!to || b.to.Up())
}

// Deaf reports whether one of the buses is, or the copy of a mark has been
// waited for too long: then no Bridge runs, or it is far behind.
func (b *DualBus) Deaf() bool { return len(b.Awaited()) > 0 || len(b.DeafTopics()) > 0 }

// DeafTopics returns the topics that are behind on one of the buses; see
// transport.Transport.DeafTopics.
func (b *DualBus) DeafTopics() []string { return slices.Concat(b.from.DeafTopics(), b.to.DeafTopics()) }

// Awaited returns the topics that have waited for the copy of a mark for too
// long. All who are set up for both buses wait with this one.
func (b *DualBus) Awaited() (topics []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, t := range b.topics {
		if !t.since.IsZero() && time.Since(t.since) > b.cfg.DeafAfter {
			topics = append(topics, name)
		}
	}
	return topics
}

// Moved is how many of the topics that are read now are on the new bus.
func (b *DualBus) Moved() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.topics {
		if t.here && t.subs > 0 {
			n++
		}
	}
	return n
}

// Stats are those of both buses together.
func (b *DualBus) Stats() transport.Stats { return b.from.Stats().Plus(b.to.Stats()) }

// Run watches both buses until ctx ends or the Bus is closed, and calls changed
// as transport.Transport.Run does, whenever Up has changed. It returns nil.
func (b *DualBus) Run(ctx context.Context, changed func(up bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	var watching errgroup.Group
	for _, bus := range []*transport.Transport{b.from, b.to} {
		watching.Go(func() error {
			return bus.Run(ctx, func(bool) { b.poke() })
		})
	}
	defer watching.Wait()
	for told, was := false, false; ; {
		select {
		case <-b.changed:
		case <-ctx.Done():
			return nil
		}
		if up := b.Up(); !told || up != was {
			told, was = true, up
			changed(up)
		}
	}
}

func (b *DualBus) poke() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// Close ends all subscriptions and closes both buses. It is idempotent, and
// returns when all is done.
func (b *DualBus) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.end()
	err := errors.Join(b.from.Close(), b.to.Close())
	b.running.Wait()
	return err
}

func (b *DualBus) follows(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	return t != nil && t.subs > 0
}

// awaitFollower waits until a topic is subscribed to, or is on the new bus.
func (b *DualBus) awaitFollower(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.EchoTimeout)
	defer cancel()
	for {
		b.mu.Lock()
		t, noted := b.topics[name], b.noted
		b.mu.Unlock()
		if t != nil && (t.subs > 0 || t.here) {
			return nil
		}
		select {
		case <-noted:
		case <-ctx.Done():
			return fmt.Errorf("whether the new bus has taken over is not known yet: %w", domain.ErrBusDown)
		case <-b.ctx.Done():
			return domain.ErrClosed
		}
	}
}

func (b *DualBus) isHere(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	return t != nil && t.here
}

// note changes what is known of a topic.
func (b *DualBus) note(name string, change func(t *topic)) {
	b.mu.Lock()
	t := b.topics[name]
	if t == nil {
		t = &topic{}
		b.topics[name] = t
	}
	change(t)
	if t.subs == 0 && !t.here {
		delete(b.topics, name)
	}
	close(b.noted)
	b.noted = make(chan struct{})
	b.mu.Unlock()
	b.poke()
}
