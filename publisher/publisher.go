package publisher

import (
	"context"
	"fmt"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// The errors that the errors of Publish wrap. They are those of package domain.
var (
	ErrInvalid  = domain.ErrInvalid  // a rule is broken; the text says which and where
	ErrTooLarge = domain.ErrTooLarge // a message's data is over the limit
	ErrBusDown  = domain.ErrBusDown  // the bus is down, did not answer in time, or refused
	ErrLimit    = domain.ErrLimit    // too many messages are waiting to be published
	ErrClosed   = domain.ErrClosed   // Close was called

	ErrBusRefused = domain.ErrBusRefused // an ErrBusDown: the bus answered that it does not take the message
	ErrBusFull    = domain.ErrBusFull    // an ErrBusRefused: the bus has no room
)

// A PublishError says how far a publish came: [domain.PublishError].
type PublishError = domain.PublishError

// A Publisher sends messages to systems. It is safe for concurrent use:
// concurrent calls share round trips to the broker.
type Publisher struct {
	out domain.Publisher
	ids domain.IDs
	bus Bus
}

// New opens the bus at a URL, such as "redis-streams://localhost:6379/0". The
// drivers say which URL schemes there are; if two of them name the same scheme,
// the later one counts. New does not wait for the broker: a bus that is down is
// no error before something is published.
//
// To set a topic template, a timeout, a limit or a logger, call [NewWithConfig].
func New(ctx context.Context, url string, drivers ...transport.Openers) (*Publisher, error) {
	return NewWithConfig(ctx, url, Config{}, drivers...)
}

// A Published is what is known of messages that were published.
type Published struct {
	// IDs are the messages' ids, in their order.
	IDs []string
	// Cursor says "I have seen everything up to the last of these messages", as the
	// cursors do that clients are given: a client that begins there misses nothing that
	// comes after them. It is "" on a bus without a log, where the bus did not say where
	// it has the message, and after an error.
	Cursor string
}

// Publish sends messages of a system, in order, and returns once the bus has taken all of
// them. It tries once, and for Config.PublishTimeout at most.
//
// If a message breaks a rule, nothing is sent and there are no ids. If the bus fails,
// the ids are returned beside the error, in which [errors.As] finds a [*PublishError].
// It says how many messages were accepted, counted from the first, and whether it is
// certain that the bus has none of the others. Publishing them again under the same ids
// is safe in any case.
func (p *Publisher) Publish(ctx context.Context, system string, msgs ...Message) (Published, error) {
	s, err := domain.ParseSystem(system)
	if err != nil {
		return Published{}, domain.At("system", err)
	}
	all := make([]*domain.Message, len(msgs))
	ids := make([]string, len(msgs))
	for i := range msgs {
		if all[i], err = msgs[i].message(&p.ids); err != nil {
			return Published{}, domain.At(fmt.Sprintf("[%d]", i), err)
		}
		ids[i] = all[i].ID
	}
	at, err := p.out.Publish(ctx, s, all...)
	return Published{IDs: ids, Cursor: at.String()}, err
}

// Close closes the bus. Publishes under way finish or fail within
// Config.PublishTimeout; later ones fail with [ErrClosed]. Close may be called
// more than once.
func (p *Publisher) Close() error { return p.bus.Close() }
