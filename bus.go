package fanfare

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/plane"
	"github.com/fanfarebus/fanfare/ports/router"
)

// A bus carries messages from publishers to nodes. It is one transport or, while
// one transport takes over from another, both as a [migrate.DualBus]. Its methods
// are documented at [transport.Transport].
type bus interface {
	// For what is published over HTTP, by clients, and by [Node.Publish].
	transport.ContextPublisher

	// For streams: what comes in, and what came earlier where the bus keeps a log.
	BatchesSince(age time.Duration) message.Subscriber
	router.Replayer
	router.Rewinder

	// For the node's health and metrics.
	Run(ctx context.Context, changed func(up bool)) error
	Up() bool
	DeafTopics() []string
	Lags() map[string]time.Duration
	Stats() transport.Stats

	Guarantees() transport.Guarantees
	CheckTopic(topic string) error
	Close() error
}

var (
	_ bus = (*transport.Transport)(nil)
	_ bus = (*migrate.DualBus)(nil)
)

// controlBuses returns the buses on which a node reads the control topic. While a bus is
// moved, these are both: no bridge copies the topic, nodes that have one of the two buses
// alone have to be heard, and what comes twice does no harm.
func controlBuses(b bus) []plane.Bus {
	if moving, ok := b.(*migrate.DualBus); ok {
		from, to := moving.Buses()
		return []plane.Bus{from, to}
	}
	return []plane.Bus{b}
}

// A rawPublisher publishes for the control plane: on its bus, or on both while the bus is
// moved.
type rawPublisher struct {
	bus    bus
	topics domain.Topics
}

// PublishRaw publishes payloads that are complete, as they are; see [plane.Publisher].
func (p rawPublisher) PublishRaw(
	ctx context.Context, topic string, payloads ...[]byte,
) (accepted int, err error) {
	messages := make([]*message.Message, len(payloads))
	for i, payload := range payloads {
		messages[i] = message.NewMessage(domain.NewID(), payload)
		messages[i].Metadata.Set(transport.RawKey, "1")
	}
	if moving, ok := p.bus.(*migrate.DualBus); ok && topic == p.topics.Control() {
		err = moving.PublishToBoth(ctx, topic, messages...)
	} else {
		err = p.bus.PublishContext(ctx, topic, messages...)
	}
	if err == nil {
		return len(payloads), nil
	}
	var partly *domain.PublishError
	if errors.As(err, &partly) {
		accepted = partly.Accepted
	}
	return accepted, err
}
