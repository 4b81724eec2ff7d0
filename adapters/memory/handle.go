package memory

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A handle gives one user access to a Bus that others use as well. Closing it
// closes only the handle.
type handle struct {
	*Bus
	closed atomic.Bool
}

func (h *handle) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if h.closed.Load() {
		return nil, fmt.Errorf("memory: follow %q: %w", topic, domain.ErrClosed)
	}
	return h.Bus.Follow(ctx, topic, after)
}

func (h *handle) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	if h.closed.Load() {
		return nil, fmt.Errorf("memory: follow %q: %w", topic, domain.ErrClosed)
	}
	return h.Bus.FollowSince(ctx, topic, t)
}

func (h *handle) Tail(ctx context.Context, topic string) (domain.Position, error) {
	if h.closed.Load() {
		return "", fmt.Errorf("memory: tail of %q: %w", topic, domain.ErrClosed)
	}
	return h.Bus.Tail(ctx, topic)
}

func (h *handle) Back(
	ctx context.Context, topic string, upTo domain.Position, n int,
) (domain.Position, bool, error) {
	if h.closed.Load() {
		return "", false, fmt.Errorf("memory: back in %q: %w", topic, domain.ErrClosed)
	}
	return h.Bus.Back(ctx, topic, upTo, n)
}

func (h *handle) Publish(ctx context.Context, records []transport.Outgoing) []error {
	if h.closed.Load() {
		return refuse(len(records), fmt.Errorf("memory: publish: %w", domain.ErrClosed))
	}
	return h.Bus.Publish(ctx, records)
}

func (h *handle) Group(name string) (message.Subscriber, error) { return h.GroupWindow(name, 1) }

func (h *handle) GroupWindow(name string, inFlight int) (message.Subscriber, error) {
	if h.closed.Load() {
		return nil, fmt.Errorf("memory: group %q: %w", name, domain.ErrClosed)
	}
	return h.Bus.GroupWindow(name, inFlight)
}

func (h *handle) Ping(ctx context.Context) error {
	if h.closed.Load() {
		return domain.ErrClosed
	}
	return h.Bus.Ping(ctx)
}

// Close makes further calls on the handle fail. It closes neither the bus nor the
// feeds and group members that were opened through the handle.
func (h *handle) Close() error {
	h.closed.Store(true)
	return nil
}
