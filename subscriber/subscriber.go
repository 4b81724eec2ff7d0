package subscriber

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// The errors that errors of this package wrap. They are those of package domain.
var (
	ErrInvalid = domain.ErrInvalid // a name or a setting breaks a rule; the text says which
	ErrClosed  = domain.ErrClosed  // Close was called
)

// A Subscriber is a member of a consumer group. It is safe for concurrent use: several
// calls of Inbound and Events may run at once.
type Subscriber struct {
	bus      Bus
	group    string
	topics   domain.Topics
	cfg      Config
	closeBus func() error

	counts struct{ received, acked, failed, poison, waiting atomic.Int64 }

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	once   sync.Once
	err    error // what Close returns; read after once

	mu      sync.Mutex
	closed  bool           // guarded by mu
	running sync.WaitGroup // calls of Inbound and Events; Add under mu while not closed
}

// New opens the bus at a URL as a member of a consumer group, such as the name of your
// service. The drivers say which URL schemes there are. New does not wait for the broker:
// a bus that is down is no error.
//
// A new group begins with the oldest message that the bus still has. With the group "" the
// Subscriber is in no group: it receives everything that comes from now on, takes nothing
// away from others, and gets nothing again.
func New(
	ctx context.Context, url, group string, drivers ...transport.Openers,
) (*Subscriber, error) {
	return NewWithConfig(ctx, url, group, Config{}, drivers...)
}

// Shared reports whether the members of the group share the messages. It is false without
// a group, and on a bus that has no groups, as Redis pub/sub: then each member receives all.
func (s *Subscriber) Shared() bool { return s.group != "" && s.bus.Guarantees().Groups }

// Stats are numbers of a Subscriber since it was made.
type Stats struct {
	Received int64 // messages and events taken from the bus, repetitions included
	Acked    int64 // those whose handler returned nil
	Failed   int64 // how often a handler returned an error
	Poison   int64 // those that could not be decoded
	InFlight int64 // those that are in memory now
}

// Stats returns the numbers as they are now.
func (s *Subscriber) Stats() Stats {
	return Stats{
		Received: s.counts.received.Load(),
		Acked:    s.counts.acked.Load(),
		Failed:   s.counts.failed.Load(),
		Poison:   s.counts.poison.Load(),
		InFlight: s.counts.waiting.Load(),
	}
}

// Inbound gives handle what users send to the systems, until ctx ends; then it returns nil.
// It returns an error if a name is invalid, if the bus cannot carry a topic of that name, or
// after [Subscriber.Close]. While the bus is down it tries again.
//
// Handlers of different users run concurrently. Their context ends when ctx does; what they
// have not acked then is given to another member, or comes again later. Inbound returns when
// all handlers have returned.
func (s *Subscriber) Inbound(
	ctx context.Context, handle func(ctx context.Context, m *Message) error, systems ...string,
) error {
	decode := func(system string, body []byte) (job, error) {
		m, err := decodeMessage(system, body)
		if err != nil {
			return job{}, err
		}
		return job{key: m.User, do: func(ctx context.Context, attempt int) error {
			given := *m
			given.Attempt = attempt
			return handle(ctx, &given)
		}}, nil
	}
	return s.run(ctx, s.topics.Inbound, decode, systems)
}

// Events is [Subscriber.Inbound] for the events about users of the systems. Those about one
// user, and those about one room, come in order.
func (s *Subscriber) Events(
	ctx context.Context, handle func(ctx context.Context, e *Event) error, systems ...string,
) error {
	decode := func(system string, body []byte) (job, error) {
		e, err := decodeEvent(system, body)
		if err != nil {
			return job{}, err
		}
		return job{key: e.key(), do: func(ctx context.Context, attempt int) error {
			given := *e
			given.Attempt = attempt
			return handle(ctx, &given)
		}}, nil
	}
	return s.run(ctx, s.topics.Events, decode, systems)
}

// Close ends Inbound and Events, and closes the bus. It waits for handlers that are running.
// It may be called more than once.
func (s *Subscriber) Close() error {
	s.once.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.cancel()
		s.running.Wait()
		s.err = s.closeBus()
	})
	return s.err
}

// run receives from one topic of each system.
func (s *Subscriber) run(
	ctx context.Context, topic func(domain.System) string, decode decoder, systems []string,
) error {
	if len(systems) == 0 {
		return &domain.FieldError{Path: "systems", Problem: "want at least one"}
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return fmt.Errorf("subscriber: %w", ErrClosed)
	}
	s.running.Add(1)
	s.mu.Unlock()
	defer s.running.Done()
	work, running := errgroup.WithContext(ctx)
	seen := make(map[string]bool)
	var parsed []domain.System
	for _, name := range systems {
		system, err := domain.ParseSystem(name)
		if err != nil {
			return domain.At("systems", err)
		}
		if !seen[name] {
			seen[name] = true
			parsed = append(parsed, system)
		}
	}
	for _, system := range parsed {
		r := &receiver{Subscriber: s, system: system.String(), topic: topic(system), decode: decode}
		work.Go(func() error { return r.receive(running) })
	}
	switch err := work.Wait(); {
	case s.ctx.Err() != nil && ctx.Err() == nil:
		return fmt.Errorf("subscriber: %w", ErrClosed)
	case err != nil && ctx.Err() == nil:
		return fmt.Errorf("subscriber: %w", err)
	}
	return nil
}

// retryAfter returns the pause that a handler's error asks for.
func retryAfter(err error) (time.Duration, bool) {
	var r *RetryError
	if errors.As(err, &r) {
		return max(r.After, 0), true
	}
	return 0, false
}
