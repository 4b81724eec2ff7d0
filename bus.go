package fanfare

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/ports/router"
)

// A bus is what a node has of the outside: one transport, or two while it is
// moved.
type bus interface {
	transport.ContextPublisher
	router.Replayer
	Guarantees() transport.Guarantees
	CheckTopic(topic string) error
	BatchesSince(age time.Duration) message.Subscriber
	Run(ctx context.Context, changed func(up bool)) error
	Up() bool
	DeafTopics() []string
	Stats() transport.Stats
	Close() error
}

var (
	_ bus = (*transport.Transport)(nil)
	_ bus = (*migrate.DualBus)(nil)
)
