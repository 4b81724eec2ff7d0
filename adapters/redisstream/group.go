package redisstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/fanfarebus/fanfare/adapters/redisconn"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	// nackDelay is how long a member waits before it hands out a nacked message again.
	nackDelay = 100 * time.Millisecond
	// maxClaimInterval is how often, at least, a member looks for entries that other
	// members hold for too long.
	maxClaimInterval = 5 * time.Second
	// groupTimeout bounds a command of a group that does not wait for entries.
	groupTimeout = 2 * time.Second
	// groupWarningInterval is how often at most a group logs that something fails.
	groupWarningInterval = 10 * time.Second
)

// Group returns a subscriber in a consumer group. A new group begins with the oldest
// entry of the stream, and is created again if the server has lost it.
//
// An entry that a member has read and not acked is given to another member, or handed
// out again, after claim_after if the member has died, and at once if it was closed. A
// member that lives keeps its entries however long it works on them.
//
// Entries that are trimmed before the group has acked them are lost to it: see
// [Driver.Lost].
func (d *Driver) Group(name string) (message.Subscriber, error) { return d.GroupWindow(name, 1) }

// GroupWindow is Group for a member that holds up to inFlight messages of each topic.
func (d *Driver) GroupWindow(name string, inFlight int) (message.Subscriber, error) {
	if name == "" {
		return nil, fmt.Errorf("redisstream: %w: a consumer group needs a name", domain.ErrInvalid)
	}
	if d.closed.Load() {
		return nil, fmt.Errorf("redisstream: group %s: %w", name, domain.ErrClosed)
	}
	g := &group{
		name: name, inFlight: inFlight, claimAfter: d.claimAfter,
		masters: redisconn.NewMasters(d.server),
		log:     d.log.With(slog.String("group", name)), driver: d,
	}
	g.client = g.masters.Client()
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// A group is a member of a consumer group. It is safe for concurrent use.
type group struct {
	driver     *Driver
	name       string
	inFlight   int
	claimAfter time.Duration
	masters    *redisconn.Masters
	client     *redis.Client // of masters: for everything but waiting for entries
	log        *slog.Logger
	ctx        context.Context // ends with Close
	cancel     context.CancelFunc

	mu      sync.Mutex
	closed  bool           // guarded by mu
	running sync.WaitGroup // subscriptions; Add under mu while not closed
}

// Subscribe takes the group's messages of a topic until ctx ends. It returns when the
// server has created the group, or has it.
func (g *group) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	fail := func(err error) error {
		return fmt.Errorf("redisstream: group %s: subscribe to %s: %w", g.name, topic, err)
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil, fail(domain.ErrClosed)
	}
	g.running.Add(1)
	g.mu.Unlock()
	m := &membership{
		group: g, topic: topic, consumer: domain.NewID(),
		waiting: redisconn.NewMasters(g.driver.server),
		slots:   make(chan struct{}, g.inFlight), held: make(map[string]struct{}),
		acked: make(chan string, g.inFlight), out: make(chan *message.Message),
		warn: rate.Sometimes{First: 1, Interval: groupWarningInterval},
	}
	if _, err := m.create(ctx); err != nil {
		_ = m.waiting.Close()
		g.running.Done()
		return nil, fail(g.driver.classify(topic, err))
	}
	go func() {
		defer g.running.Done()
		m.run(ctx)
	}()
	return m.out, nil
}

// Close ends the subscriptions and waits for them. What is not acked by then is given
// to another member. Close may be called more than once.
func (g *group) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.cancel()
	g.running.Wait()
	return g.masters.Close()
}

// isClosed reports whether an error comes from the end of a subscription.
func isClosed(err error) bool {
	return errors.Is(err, redis.ErrClosed) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, domain.ErrClosed) || errors.Is(err, context.Canceled)
}
