package watermillbus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// Config says what a Publisher and Subscriber do. The zero Config claims the
// least.
type Config struct {
	// AtLeast: what is published while a subscription is interrupted arrives
	// when it is back, perhaps repeated. Without it, at most once.
	AtLeast bool
	// TotalOrder: all nodes see all publishers' messages in one order.
	TotalOrder bool
	// Group returns a Subscriber in a consumer group, for inbound topics. Nil:
	// there are no groups.
	Group func(name string) (message.Subscriber, error)
	// CheckTopic refuses topics that the broker cannot carry. Nil: only those
	// without a name.
	CheckTopic func(topic string) error
	// Ping asks the broker for a sign of life. Nil: the bus counts as down from
	// when a subscription failed or ended until one succeeds.
	Ping func(ctx context.Context) error
	// CloseTimeout bounds Close; default 10 s.
	CloseTimeout time.Duration
}

// A Driver is a transport.Driver over a Publisher and a Subscriber. It is safe
// for concurrent use if these are.
type Driver struct {
	pub message.Publisher
	sub message.Subscriber
	cfg Config

	lanes [lanes]chan struct{} // hold a token while somebody publishes
	ctx   context.Context      // ends with Close
	end   context.CancelFunc
	once  sync.Once
	ended error // what Close returns; read after once

	mu      sync.Mutex
	closed  bool           // guarded by mu
	running sync.WaitGroup // calls and feeds; Add under mu while not closed
	fault   error          // of the last subscription; guarded by mu
}

var (
	_ transport.Driver      = (*Driver)(nil)
	_ transport.GroupDriver = (*Driver)(nil)
)

// New returns a Driver that owns pub and sub, which may be one value. Either may
// be nil if nobody publishes or nobody subscribes.
func New(pub message.Publisher, sub message.Subscriber, cfg Config) *Driver {
	if cfg.CloseTimeout <= 0 {
		cfg.CloseTimeout = 10 * time.Second
	}
	d := &Driver{pub: pub, sub: sub, cfg: cfg}
	d.ctx, d.end = context.WithCancel(context.Background())
	for i := range d.lanes {
		d.lanes[i] = make(chan struct{}, 1)
	}
	return d
}

// Guarantees are what Config claims; there is no log.
func (d *Driver) Guarantees() transport.Guarantees {
	return transport.Guarantees{AtLeast: d.cfg.AtLeast, TotalOrder: d.cfg.TotalOrder, Groups: d.cfg.Group != nil}
}

// CheckTopic is Config's.
func (d *Driver) CheckTopic(topic string) error {
	switch {
	case topic == "":
		return fmt.Errorf("watermillbus: a topic needs a name: %w", domain.ErrInvalid)
	case d.cfg.CheckTopic != nil:
		return d.cfg.CheckTopic(topic)
	}
	return nil
}

// Follow subscribes, and trusts that what is published after Subscribe has
// returned arrives. There are no positions: after must be "".
func (d *Driver) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	f, err := d.follow(ctx, topic, after)
	if err != nil {
		return nil, fmt.Errorf("watermillbus: subscribe to %q: %w", topic, err)
	}
	return f, nil
}

func (d *Driver) follow(ctx context.Context, topic string, after domain.Position) (*feed, error) {
	switch {
	case d.sub == nil || after != "":
		return nil, domain.ErrUnsupported
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	if err := d.enter(); err != nil {
		return nil, err
	}
	f := &feed{d: d, topic: topic}
	f.ctx, f.cancel = context.WithCancel(d.ctx)
	ready := make(chan error, 1)
	go func() {
		defer d.running.Done()
		f.run(ready)
	}()
	select {
	case err := <-ready:
		d.health(err)
		if err != nil {
			return nil, err
		}
		return f, nil
	case <-ctx.Done():
		f.cancel() // Subscribe may not obey: run waits for it
		d.health(ctx.Err())
		return nil, ctx.Err()
	}
}

// Group is Config's; without it the error is domain.ErrUnsupported.
func (d *Driver) Group(name string) (message.Subscriber, error) {
	if d.cfg.Group == nil {
		return nil, fmt.Errorf("watermillbus: consumer group %q: %w", name, domain.ErrUnsupported)
	}
	if err := d.enter(); err != nil {
		return nil, fmt.Errorf("watermillbus: consumer group %q: %w", name, err)
	}
	defer d.running.Done()
	return d.cfg.Group(name)
}

// Ping is Config's, or says how the last subscription fared.
func (d *Driver) Ping(ctx context.Context) error {
	d.mu.Lock()
	closed, fault := d.closed, d.fault
	d.mu.Unlock()
	switch {
	case closed:
		return domain.ErrClosed
	case d.cfg.Ping == nil:
		return fault
	}
	return d.cfg.Ping(ctx)
}

// Close ends all feeds, closes the Subscriber and the Publisher, and waits for
// every goroutine, all within Config.CloseTimeout. If that is not enough it
// returns an error, and the rest ends when the Pub/Sub lets it.
func (d *Driver) Close() error {
	d.once.Do(func() { d.ended = d.close() })
	return d.ended
}

func (d *Driver) close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.end()
	done := make(chan error, 1)
	go func() {
		err := d.closeBoth()
		d.running.Wait()
		done <- err
	}()
	timer := time.NewTimer(d.cfg.CloseTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("watermillbus: close: %w", err)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("watermillbus: the publisher or subscriber does not end within %v", d.cfg.CloseTimeout)
	}
}

func (d *Driver) closeBoth() error {
	var errs []error
	if d.sub != nil {
		errs = append(errs, d.sub.Close())
	}
	if d.pub != nil && !same(d.pub, d.sub) {
		errs = append(errs, d.pub.Close())
	}
	return errors.Join(errs...)
}

// same says whether both are one value.
func same(pub message.Publisher, sub message.Subscriber) bool {
	return sub != nil && reflect.TypeOf(pub).Comparable() && any(pub) == any(sub)
}

// enter counts a piece of work that Close waits for, until running.Done.
func (d *Driver) enter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return domain.ErrClosed
	}
	d.running.Add(1)
	return nil
}

// health notes how a subscription fares.
func (d *Driver) health(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = err
}
