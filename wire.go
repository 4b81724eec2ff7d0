//go:build wireinject

package fanfare

import (
	"context"

	"github.com/google/wire"
)

// assemble puts a node together. The cleanup closes the bus.
func assemble(ctx context.Context, cfg Config, o options) (*Node, func(), error) {
	wire.Build(
		openBus,
		newTopics,
		newRouter,
		newHub,
		newReader,
		newEnvelopePublisher,
		newPublisher,
		newAnswerers,
		newPlane,
		newLogins,
		newRegistry,
		newWebSockets,
		newEvents,
		newHealth,
		newWebhooks,
		newAPI,
		wire.Struct(new(parts), "*"),
		newMetrics,
		newNode,
	)
	return nil, nil, nil
}
