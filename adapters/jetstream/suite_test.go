package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
)

// fromBeginning is a bus whose subscribers start at the beginning of the
// stream, where a node's start at its tail: most of Watermill's tests publish
// before they subscribe.
type fromBeginning struct{ transport.Driver }

func (d fromBeginning) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if after == "" {
		after = at(0)
	}
	return d.Driver.Follow(ctx, topic, after)
}

// The suite makes hundreds of streams at once and is not about how long that
// takes on a machine that has other work to do.
const patient = "?storage=memory&reply_timeout=30s"

var unhurried = transport.Config{PublishTimeout: 30 * time.Second, FollowTimeout: 30 * time.Second}

// Watermill's suite on the fan-out face. Left out by the features declared:
// ConsumerGroups, which TestWatermillsSuiteInGroups runs, and Reconnect, which
// has a data race of its own and so cannot run under the race detector:
// TestARestartOfTheServerLosesNothing is ours.
func TestWatermillsSuite(t *testing.T) {
	s := broker.NATS(t)
	features := tests.Features{
		GuaranteedOrder:                  true,
		Persistent:                       true,
		NewSubscriberReceivesOldMessages: true,
	}
	tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) {
		pub := transport.New(open(t, s.URL("jetstream")+patient), unhurried)
		sub := transport.New(fromBeginning{open(t, s.URL("jetstream")+patient)}, unhurried)
		closeAtEnd(t, pub.Close, sub.Close)
		return pub, sub
	}, nil)
}

// Several subscribers of a group share its messages, so no order is declared,
// and PublishSubscribeInOrder and NoAck are left out; so is Reconnect, as above.
func TestWatermillsSuiteInGroups(t *testing.T) {
	s := broker.NATS(t)
	features := tests.Features{
		ConsumerGroups:                   true,
		Persistent:                       true,
		NewSubscriberReceivesOldMessages: true,
		ForceShort:                       true,
	}
	inGroup := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		bus := transport.New(open(t, s.URL("jetstream")+patient), unhurried)
		sub, err := bus.Group(group)
		if err != nil {
			t.Fatal(err)
		}
		pub := transport.New(open(t, s.URL("jetstream")+patient), unhurried)
		closeAtEnd(t, pub.Close, sub.Close, bus.Close)
		return pub, sub
	}
	tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) {
		return inGroup(t, string(tests.NewTestID()))
	}, inGroup)
}

// What the server confirmed before it was killed comes through, in order, and
// without a break, to a subscriber that was there all the time.
func TestARestartOfTheServerLosesNothing(t *testing.T) {
	s := broker.NATS(t)
	bus := transport.New(open(t, s.URL("jetstream")), transport.Config{})
	defer func() { _ = bus.Close() }()
	batches, err := bus.Batches().Subscribe(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	const n = 3000
	restarts := make(chan struct{}, 3)
	go func() {
		defer close(restarts)
		for i := range n {
			m := message.NewMessage(fmt.Sprint(i), nil)
			poll(t, func() bool { return bus.Publish("t", m) == nil }) // again until it is confirmed
			if i%(n/4) == n/4-1 && i < n-1 {
				restarts <- struct{}{}
			}
		}
	}()
	received := make(chan error, 1)
	go func() { received <- inOrder(batches, n) }()
	for range restarts {
		s.Kill()
		s.Restart()
	}
	if err := <-received; err != nil {
		t.Fatal(err)
	}
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
