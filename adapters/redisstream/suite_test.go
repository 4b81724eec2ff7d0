package redisstream_test

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

// fromBeginning is a bus whose subscribers start at the beginning of the
// stream, where a node's start at its tail: most of Watermill's tests publish
// before they subscribe.
type fromBeginning struct{ transport.Driver }

func (d fromBeginning) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if after == "" {
		after = domain.Position(make([]byte, 16))
	}
	return d.Driver.Follow(ctx, topic, after)
}

// Watermill's whole suite, Reconnect included: the server restarts from its
// append-only file. Left out by the features declared: ConsumerGroups, which
// TestWatermillsSuiteInGroups runs.
func TestWatermillsSuite(t *testing.T) {
	s := broker.Redis(t, "--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "yes")
	restart := fmt.Sprintf("redis-cli -u redis://%s DEBUG RESTART || redis-cli -u redis://%s PING || true", s.Addr(), s.Addr())
	features := tests.Features{
		GuaranteedOrder:                  true,
		Persistent:                       true,
		NewSubscriberReceivesOldMessages: true,
		RestartServiceCommand:            []string{"sh", "-c", restart},
	}
	tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) {
		pub := transport.New(open(t, s.URL("redis-streams")), transport.Config{})
		sub := transport.New(fromBeginning{open(t, s.URL("redis-streams"))}, transport.Config{})
		closeAtEnd(t, pub.Close, sub.Close)
		return pub, sub
	}, nil)
}

// In groups it is the stock subscriber that is tested: the short form will do.
// One in-flight message per subscriber keeps the order; several subscribers of
// a group share it, so no order is declared for them. Left out by the features:
// Reconnect, since the stock subscriber may deliver in other order after it.
func TestWatermillsSuiteInGroups(t *testing.T) {
	s := broker.Redis(t)
	features := tests.Features{
		ConsumerGroups:                      true,
		GuaranteedOrderWithSingleSubscriber: true,
		Persistent:                          true,
		NewSubscriberReceivesOldMessages:    true,
		ForceShort:                          true,
	}
	inGroup := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		bus := transport.New(open(t, s.URL("redis-streams")), transport.Config{})
		sub, err := bus.Group(group)
		if err != nil {
			t.Fatal(err)
		}
		pub := transport.New(open(t, s.URL("redis-streams")), transport.Config{})
		closeAtEnd(t, pub.Close, sub.Close, bus.Close)
		return pub, sub
	}
	tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) {
		return inGroup(t, string(tests.NewTestID()))
	}, inGroup)
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
