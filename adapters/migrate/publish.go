package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// PublishContext publishes on the new bus if a subscription of the topic has
// found that it has taken over, and else on the old bus, from where the Bridge
// copies it. An inbound topic, and one of events, follows the topic that it belongs to.
//
// A message that is published on the old bus may come after the mark there. Then
// it has no position in the order until it is copied. So, if the topic is
// subscribed to, PublishContext returns only when the subscription has read the
// messages back: whatever is published afterwards, here or on another node,
// comes after them. If that takes longer than [Config].ReadbackTimeout, the error
// is a [domain.ErrBusDown], and the messages may still come. If the topic is not
// subscribed to, PublishContext does not wait, and a later message of another
// node may come before these.
//
// The error is a [*domain.PublishError].
func (b *DualBus) PublishContext(ctx context.Context, topic string, messages ...*message.Message) error {
	_, err := b.PublishStored(ctx, topic, messages...)
	return err
}

// PublishStored is PublishContext, and returns where the log has the last message. What the
// subscription has read back is where it was read, which is the new log if the message came
// after the mark.
func (b *DualBus) PublishStored(
	ctx context.Context, topic string, messages ...*message.Message,
) (last transport.Stored, err error) {
	system := ownerOf(topic)
	if slices.Contains(b.cfg.Topics, system) {
		if err := b.awaitSubscription(ctx, system); err != nil {
			return last, &domain.PublishError{
				Refused: true, // nothing was sent
				Err:     fmt.Errorf("move: publish to %q: %w", topic, err),
			}
		}
	}
	if b.hasMoved(system) {
		return b.to.PublishStored(ctx, topic, messages...)
	}
	if !b.isSubscribed(topic) {
		return b.from.PublishStored(ctx, topic, messages...)
	}
	published := b.readbacks.expect(messages)
	defer b.readbacks.forget(published)
	if _, err := b.from.PublishStored(ctx, topic, messages...); err != nil {
		return last, err
	}
	return b.awaitReadback(ctx, topic, published)
}

// awaitReadback waits until the subscription has read back what was published.
func (b *DualBus) awaitReadback(
	ctx context.Context, topic string, published *readback,
) (last transport.Stored, err error) {
	timeout := time.NewTimer(b.cfg.ReadbackTimeout)
	defer timeout.Stop()
	select {
	case <-published.done:
		return published.last, nil
	case <-timeout.C:
		err = fmt.Errorf("what was published does not come back: %w", domain.ErrBusDown)
	case <-ctx.Done():
		err = ctx.Err()
	case <-b.ctx.Done():
		err = domain.ErrClosed
	}
	return last, unknownOutcome(topic, err)
}

// ownerOf returns the topic of the system that a topic belongs to.
func ownerOf(topic string) string {
	for _, suffix := range []string{domain.InboundSuffix, domain.EventsSuffix} {
		if system, ok := strings.CutSuffix(topic, suffix); ok {
			return system
		}
	}
	return topic
}

// PublishToBoth publishes on both buses at the same time, for a topic that all nodes read on
// whatever bus they have, and that no [Bridge] copies. It succeeds if one of the buses has
// taken all messages. A bus that is down is left out if the other one is up. The error is a
// [*domain.PublishError].
func (b *DualBus) PublishToBoth(
	ctx context.Context, topic string, messages ...*message.Message,
) error {
	var buses []*transport.Transport
	for _, bus := range []*transport.Transport{b.from, b.to} {
		if bus.Up() {
			buses = append(buses, bus)
		}
	}
	if len(buses) == 1 {
		return buses[0].PublishContext(ctx, topic, messages...)
	}
	second := make(chan error, 1)
	go func() { second <- b.to.PublishContext(ctx, topic, messages...) }()
	err := b.from.PublishContext(ctx, topic, messages...)
	if other := <-second; err == nil || other == nil {
		return nil
	}
	return err
}

// unknownOutcome is the error of a publish whose messages were not read back.
func unknownOutcome(topic string, err error) error {
	return &domain.PublishError{Err: fmt.Errorf("move: publish to %q: %w", topic, err)}
}

// Unconsumed returns the age of the oldest unconsumed entry of an inbound topic,
// on the bus on which PublishContext would publish to it; see
// [transport.Transport.Unconsumed].
func (b *DualBus) Unconsumed(ctx context.Context, topic string) (time.Duration, error) {
	return b.current(ownerOf(topic)).Unconsumed(ctx, topic)
}

func (b *DualBus) isSubscribed(topic string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[topic]
	return t != nil && t.subscriptions > 0
}

// awaitSubscription waits until the topic is subscribed to or known to have
// moved, at most for ReadbackTimeout.
func (b *DualBus) awaitSubscription(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.ReadbackTimeout)
	defer cancel()
	for {
		b.mu.Lock()
		t, changed := b.topics[topic], b.topicsChanged
		known := t != nil && (t.subscriptions > 0 || t.moved)
		b.mu.Unlock()
		if known {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("whether the new bus has taken over is not known yet: %w", domain.ErrBusDown)
		case <-b.ctx.Done():
			return domain.ErrClosed
		}
	}
}
