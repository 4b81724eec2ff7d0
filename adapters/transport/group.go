package transport

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport/sequence"
	"github.com/fanfarebus/fanfare/domain"
)

// Group returns a Watermill subscriber in a consumer group: each message goes to
// one of the group's members until it is acked. Publishers' high-water marks are
// left out, as [Transport.Subscribe] does. Where the driver is no [GroupDriver] the
// error wraps [domain.ErrUnsupported]. The caller closes the subscriber; if it does
// not, Close of the Transport does.
func (t *Transport) Group(name string) (message.Subscriber, error) {
	driver, ok := t.driver.(GroupDriver)
	if !ok {
		return nil, fmt.Errorf("transport: consumer group %q: %w", name, domain.ErrUnsupported)
	}
	return t.joinGroup(name, driver.Group)
}

// GroupWindow is [Transport.Group] for a member that may hold up to inFlight messages at
// once which it has not answered yet. They are handed out in the bus's order; one that is
// nacked comes again later than those behind it. Where the driver is no
// [WindowGroupDriver], the member holds one message.
func (t *Transport) GroupWindow(name string, inFlight int) (message.Subscriber, error) {
	driver, ok := t.driver.(WindowGroupDriver)
	if !ok {
		return t.Group(name)
	}
	return t.joinGroup(name, func(name string) (message.Subscriber, error) {
		return driver.GroupWindow(name, max(inFlight, 1))
	})
}

// joinGroup makes a member of a group with join, a method of the driver.
func (t *Transport) joinGroup(
	name string, join func(name string) (message.Subscriber, error),
) (message.Subscriber, error) {
	if err := t.enter(); err != nil {
		return nil, fmt.Errorf("transport: consumer group %q: %w", name, err)
	}
	defer t.running.Done()
	sub, err := join(name)
	if err != nil {
		return nil, fmt.Errorf("transport: consumer group %q: %w", name, busError(err))
	}
	m := &groupMember{Subscriber: sub, t: t, name: name}
	if !t.addMember(m) {
		closed := fmt.Errorf("transport: consumer group %q: %w", name, domain.ErrClosed)
		return nil, errors.Join(closed, sub.Close())
	}
	return m, nil
}

// addMember has Close close a member. It returns false if Close has begun.
func (t *Transport) addMember(m *groupMember) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.groups[m] = struct{}{}
	return true
}

// A groupMember is a driver's group subscriber, with errors like a Transport's, and without
// the high-water marks of publishers.
type groupMember struct {
	message.Subscriber
	t       *Transport
	name    string
	filters sync.WaitGroup // the goroutines of withoutMarks
	once    sync.Once
	err     error // what the driver's Close returned; read after once
}

func (m *groupMember) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := m.t.CheckTopic(topic); err != nil {
		return nil, fmt.Errorf("transport: subscribe to %q in group %q: %w", topic, m.name, err)
	}
	messages, err := m.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		err = busError(err)
		return nil, fmt.Errorf("transport: subscribe to %q in group %q: %w", topic, m.name, err)
	}
	if m.t.guarantees.Log {
		return messages, nil // nobody numbers messages there
	}
	return m.withoutMarks(messages), nil
}

// withoutMarks acks the high-water marks among a subscription's messages and passes on the
// others. Its goroutine ends with the subscription.
func (m *groupMember) withoutMarks(messages <-chan *message.Message) <-chan *message.Message {
	kept := make(chan *message.Message)
	m.filters.Go(func() {
		defer close(kept)
		for msg := range messages {
			if sequence.IsHighWaterMark(msg.Payload) {
				msg.Ack()
				continue
			}
			select {
			case kept <- msg:
			case <-msg.Context().Done(): // the subscription ends, or has taken it back
			}
		}
	})
	return kept
}

func (m *groupMember) Close() error {
	m.once.Do(func() {
		m.t.mu.Lock()
		delete(m.t.groups, m)
		m.t.mu.Unlock()
		m.err = m.Subscriber.Close()
		m.filters.Wait()
	})
	return m.err
}
