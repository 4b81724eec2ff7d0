package fanfare

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
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

	// For the node's health and metrics.
	Run(ctx context.Context, changed func(up bool)) error
	Up() bool
	DeafTopics() []string
	Stats() transport.Stats

	Guarantees() transport.Guarantees
	CheckTopic(topic string) error
	Close() error
}

var (
	_ bus = (*transport.Transport)(nil)
	_ bus = (*migrate.DualBus)(nil)
)
