package transport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport/groupcommit"
	"github.com/fanfarebus/fanfare/adapters/transport/sequence"
	"github.com/fanfarebus/fanfare/domain"
)

// A Transport is a bus: a Watermill Publisher and Subscriber over a Driver. It
// is safe for concurrent use.
type Transport struct {
	driver   Driver
	log      LogDriver // nil if the driver is none
	promises Guarantees
	cfg      Config
	lines    [shards]*groupcommit.Pipeline[Outgoing]
	stamps   *sequence.Stamper // nil: what is published is not numbered
	mark     *message.Message  // stands for any topic's high-water mark
	marking  sync.Once         // starts publishing marks
	trims    *trims
	counts   counters
	down     atomic.Bool
	refused  limitedLog               // of failed publishes
	retries  limitedLog               // of subscriptions that cannot be had again
	behind   atomic.Pointer[[]string] // the topics of subscriptions that were, when Run last looked

	// ending is done once Close has begun; every subscription hangs on it.
	ending context.Context
	end    context.CancelFunc
	once   sync.Once
	ended  error // what Close returns; read after once

	mu      sync.Mutex
	closed  bool                       // guarded by mu
	running sync.WaitGroup             // subscriptions and what trims and marks; Add under mu while not closed
	subs    map[*subscription]struct{} // guarded by mu
	groups  map[*groupMember]struct{}  // guarded by mu
}

var (
	_ message.Publisher  = (*Transport)(nil)
	_ message.Subscriber = (*Transport)(nil)
)

// New makes a Transport over a driver, which it then owns.
func New(d Driver, cfg Config) *Transport {
	t := &Transport{
		driver:   d,
		mark:     newMark(),
		promises: d.Guarantees(),
		cfg:      cfg.withDefaults(),
		subs:     make(map[*subscription]struct{}),
		groups:   make(map[*groupMember]struct{}),
		refused:  limitedLog{every: 10 * time.Second},
		retries:  limitedLog{every: 10 * time.Second},
	}
	if t.promises.Log {
		t.log, _ = d.(LogDriver)
	}
	t.trims = newTrims(d, t.cfg)
	t.ending, t.end = context.WithCancel(context.Background())
	if !t.promises.Log && !t.cfg.NoNumbers {
		t.stamps = sequence.NewStamper()
	}
	for i := range t.lines {
		t.lines[i] = groupcommit.New(groupcommit.Config[Outgoing]{
			Send: d.Publish, Prepare: t.prepare, Copy: t.copyMessages, Explain: busError,
			MaxQueue: t.cfg.PublishQueue,
		})
	}
	return t
}

// Guarantees says what the bus promises.
func (t *Transport) Guarantees() Guarantees { return t.promises }

// CheckTopic says whether the bus can carry a topic of this name. An error
// wraps domain.ErrInvalid.
func (t *Transport) CheckTopic(topic string) error {
	return mark(t.driver.CheckTopic(topic), domain.ErrInvalid)
}

// Close ends all subscriptions, waits for their goroutines and closes the
// driver. Publishes under way finish or fail within Config.PublishTimeout;
// later calls fail with domain.ErrClosed. Close may be called more than once,
// and returns when all is done.
func (t *Transport) Close() error {
	t.once.Do(func() { t.ended = t.close() })
	return t.ended
}

func (t *Transport) close() error {
	t.mu.Lock()
	t.closed = true
	groups := slices.Collect(maps.Keys(t.groups))
	t.mu.Unlock()

	t.end()
	var errs []error
	for _, m := range groups {
		if err := m.Close(); err != nil {
			errs = append(errs, fmt.Errorf("transport: leave group %q: %w", m.name, err))
		}
	}
	for i := range t.lines {
		t.lines[i].Close()
	}
	t.running.Wait()
	if err := t.driver.Close(); err != nil {
		errs = append(errs, fmt.Errorf("transport: close the driver: %w", err))
	}
	return errors.Join(errs...)
}

// enter counts a piece of work that Close waits for, until running.Done.
func (t *Transport) enter() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return domain.ErrClosed
	}
	t.running.Add(1)
	return nil
}
