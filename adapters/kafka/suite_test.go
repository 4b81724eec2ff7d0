package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
)

// fromBeginning is a bus whose subscribers start at the beginning of the topic,
// where a node's start at its tail: most of Watermill's tests publish before
// they subscribe.
type fromBeginning struct{ transport.Driver }

func (d fromBeginning) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if after == "" {
		after = beginning
	}
	return d.Driver.Follow(ctx, topic, after)
}

// Watermill's suite on the fan-out face. Left out by the features declared:
// ConsumerGroups, which TestWatermillsSuiteInGroups runs, and Reconnect, which
// has a data race of its own and so cannot run under the race detector:
// TestARestartOfTheBrokerLosesNothing is ours.
func TestWatermillsSuite(t *testing.T) {
	features := tests.Features{
		GuaranteedOrder:                  true,
		Persistent:                       true,
		NewSubscriberReceivesOldMessages: true,
		ForceShort:                       true,
	}
	for name, at := range map[string]func(testing.TB) string{
		"fake": func(t testing.TB) string { return fakeURL(t) }, "real": broker.KafkaURL,
	} {
		t.Run(name, func(t *testing.T) {
			url := at(t)
			tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) {
				pub := transport.New(open(t, url), transport.Config{})
				sub := transport.New(fromBeginning{open(t, url)}, transport.Config{})
				closeAtEnd(t, pub.Close, sub.Close)
				return pub, sub
			}, nil)
		})
	}
}

// One member of a group receives, the others stand by.
func TestWatermillsSuiteInGroups(t *testing.T) {
	url := broker.KafkaURL(t)
	features := tests.Features{
		ConsumerGroups:                   true,
		GuaranteedOrder:                  true,
		Persistent:                       true,
		NewSubscriberReceivesOldMessages: true,
		ForceShort:                       true,
	}
	inGroup := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		bus := transport.New(open(t, url), transport.Config{})
		sub, err := bus.Group(group)
		if err != nil {
			t.Fatal(err)
		}
		pub := transport.New(open(t, url), transport.Config{})
		closeAtEnd(t, pub.Close, sub.Close, bus.Close)
		return pub, sub
	}
	tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) {
		return inGroup(t, string(tests.NewTestID()))
	}, inGroup)
}

// What the broker confirmed before it was killed comes through, in order, and
// without a break, to a subscriber that was there all the time.
func TestARestartOfTheBrokerLosesNothing(t *testing.T) {
	s := broker.SharedKafka(t)
	topic := uniqueTopic()
	bus := transport.New(open(t, s.URL()), transport.Config{})
	defer func() { _ = bus.Close() }()
	batches, err := bus.Batches().Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	const n = 2000
	half, published := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(published)
		for i := range n {
			m := message.NewMessage(fmt.Sprint(i), nil)
			poll(t, func() bool { return bus.Publish(topic, m) == nil }) // again until it is confirmed
			if i == n/2 {
				close(half)
			}
		}
	}()
	received := make(chan error, 1)
	go func() { received <- inOrder(batches, n) }()
	<-half
	s.Kill()
	s.Restart()
	if err := <-received; err != nil {
		t.Fatal(err)
	}
	<-published
}

// inOrder wants the UUIDs 0 to n-1, in order, each at least once, and no break.
func inOrder(batches <-chan *message.Message, n int) error {
	next := 0
	for m := range batches {
		entries, _ := domain.EntriesFrom(m.Context())
		for _, e := range entries {
			switch {
			case e.Kind == domain.Gap:
				return fmt.Errorf("a break after %d: %s", next, e.Reason)
			case e.Kind == domain.Record && e.UUID == fmt.Sprint(next):
				next++
			case e.Kind == domain.Record && e.UUID != fmt.Sprint(next-1): // published twice
				return fmt.Errorf("%s instead of %d", e.UUID, next)
			}
		}
		m.Ack()
		if next == n {
			return nil
		}
	}
	return fmt.Errorf("the subscription ended after %d", next)
}

// closeAtEnd closes with the test at the latest: some of the suite's tests
// leave theirs open.
func closeAtEnd(t *testing.T, closers ...func() error) {
	t.Cleanup(func() {
		for _, c := range closers {
			if err := c(); err != nil && !errors.Is(err, domain.ErrClosed) {
				t.Error(err)
			}
		}
	})
}
