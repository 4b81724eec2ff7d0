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
	"github.com/fanfarebus/fanfare/internal/defaults"
)

// DefaultCloseTimeout is the default of [Config].CloseTimeout.
const DefaultCloseTimeout = 10 * time.Second

// Config says what a Publisher and Subscriber can do. The zero Config claims
// nothing.
type Config struct {
	// AtLeast says that messages published while a subscription is interrupted
	// arrive afterwards, perhaps more than once. Without it, messages arrive at
	// most once.
	AtLeast bool
	// TotalOrder says that all nodes receive the messages of all publishers in
	// the same order.
	TotalOrder bool
	// Group returns a Subscriber in a consumer group, for inbound topics. If it
	// is nil, there are no groups.
	Group func(name string) (message.Subscriber, error)
	// CheckTopic returns an error for topics that the broker cannot carry. If it
	// is nil, only a topic without a name is refused.
	CheckTopic func(topic string) error
	// Ping returns an error if the broker does not answer. If it is nil, the bus
	// counts as down from the time when a subscription fails or ends until one
	// succeeds.
	Ping func(ctx context.Context) error
	// CloseTimeout bounds Close. 0 means DefaultCloseTimeout.
	CloseTimeout time.Duration
}

// A Driver is a [transport.Driver] over a Watermill Publisher and Subscriber. It
// is safe for concurrent use if these are.
type Driver struct {
	pub message.Publisher
	sub message.Subscriber
	cfg Config

	lanes     [lanes]chan struct{} // a lane holds a token while a goroutine publishes on it
	ctx       context.Context      // ends with Close
	end       context.CancelFunc
	closeOnce sync.Once
	closeErr  error // what Close returns; set by closeOnce

	mu      sync.Mutex
	closed  bool           // guarded by mu
	running sync.WaitGroup // calls and feeds; Add under mu while not closed
	fault   error          // of the last subscription, nil if it is healthy; guarded by mu
}

var (
	_ transport.Driver      = (*Driver)(nil)
	_ transport.GroupDriver = (*Driver)(nil)
)

// New returns a Driver, which closes pub and sub when it is closed. Both may be
// the same value. Pub may be nil if nobody publishes, and sub if nobody
// subscribes.
func New(pub message.Publisher, sub message.Subscriber, cfg Config) *Driver {
	defaults.Set(&cfg.CloseTimeout, DefaultCloseTimeout)
	d := &Driver{pub: pub, sub: sub, cfg: cfg}
	d.ctx, d.end = context.WithCancel(context.Background())
	for i := range d.lanes {
		d.lanes[i] = make(chan struct{}, 1)
	}
	return d
}

// Guarantees returns what the [Config] claims. There is no log.
func (d *Driver) Guarantees() transport.Guarantees {
	return transport.Guarantees{
		AtLeast:    d.cfg.AtLeast,
		TotalOrder: d.cfg.TotalOrder,
		Groups:     d.cfg.Group != nil,
	}
}

// CheckTopic refuses topics without a name, and those that Config.CheckTopic
// refuses.
func (d *Driver) CheckTopic(topic string) error {
	switch {
	case topic == "":
		return fmt.Errorf("watermillbus: a topic needs a name: %w", domain.ErrInvalid)
	case d.cfg.CheckTopic != nil:
		return d.cfg.CheckTopic(topic)
	}
	return nil
}

// Follow subscribes. It relies on the Subscriber to deliver what is published
// after Subscribe has returned. There are no positions, so after must be "".
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
	f := &feed{driver: d, topic: topic}
	f.ctx, f.cancel = context.WithCancel(d.ctx)
	ready := make(chan error, 1)
	go func() {
		defer d.running.Done()
		f.run(ready)
	}()
	select {
	case err := <-ready:
		d.setFault(err)
		if err != nil {
			return nil, err
		}
		return f, nil
	case <-ctx.Done():
		f.cancel() // Subscribe may ignore that; f.run waits for it to return
		d.setFault(ctx.Err())
		return nil, ctx.Err()
	}
}

// Group returns a Subscriber in a consumer group, from Config.Group. If that is
// nil, the error is a [domain.ErrUnsupported].
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

// Ping calls Config.Ping. If that is nil, it returns the error with which the
// last subscription failed or ended, if it did.
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
// all goroutines. If that takes longer than Config.CloseTimeout it returns an
// error, and goroutines remain until the Publisher or Subscriber returns. It is
// idempotent.
func (d *Driver) Close() error {
	d.closeOnce.Do(func() { d.closeErr = d.close() })
	return d.closeErr
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

// same reports whether pub and sub are the same value.
func same(pub message.Publisher, sub message.Subscriber) bool {
	return sub != nil && reflect.TypeOf(pub).Comparable() && any(pub) == any(sub)
}

// enter makes Close wait until running.Done is called. It fails if the driver is
// closed.
func (d *Driver) enter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return domain.ErrClosed
	}
	d.running.Add(1)
	return nil
}

// setFault records the error of the last subscription, or nil if it works.
func (d *Driver) setFault(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = err
}
