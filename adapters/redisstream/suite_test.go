package redisstream_test

import (
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// Watermill's suite as a node uses the bus. The features leave out
// ConsumerGroups, which TestWatermillsSuiteInGroups runs, and Reconnect, which
// has a data race of its own and so cannot run under the race detector;
// TestARestartOfTheServerLosesNothing does the same.
func TestWatermillsSuite(t *testing.T) {
	s := broker.Redis(t)
	features := tests.Features{
		GuaranteedOrder:                  true,
		Persistent:                       true,
		NewSubscriberReceivesOldMessages: true,
	}
	openHere := func(t testing.TB) transport.Driver { return open(t, s.URL("redis-streams")) }
	driverkit.RunSuite(t, features, domain.Position(make([]byte, 16)), openHere, transport.Config{})
}

// In groups this tests Watermill's own subscriber, so the short form of the suite
// is enough. The subscribers of a group share its messages, so no order is
// declared, and PublishSubscribeInOrder and NoAck are left out. So is Reconnect,
// as above. With claim_after=2s, entries that a cancelled subscription has read
// come again within the 15 seconds that the suite waits.
func TestWatermillsSuiteInGroups(t *testing.T) {
	s := broker.Redis(t)
	features := tests.Features{
		ConsumerGroups:                   true,
		Persistent:                       true,
		NewSubscriberReceivesOldMessages: true,
		ForceShort:                       true,
	}
	openPublisher := func(t testing.TB) transport.Driver { return open(t, s.URL("redis-streams")) }
	openSubscriber := func(t testing.TB) transport.Driver {
		return open(t, s.URL("redis-streams")+"?claim_after=2s")
	}
	driverkit.RunSuiteInGroups(t, features, openPublisher, openSubscriber, transport.Config{})
}

// What the server confirmed before it was killed comes through, in order, and
// without a break, to a subscriber that was there all the time.
func TestARestartOfTheServerLosesNothing(t *testing.T) {
	s := broker.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
	bus := transport.New(open(t, s.URL("redis-streams")), transport.Config{})
	defer func() { _ = bus.Close() }()
	batches, err := bus.Batches().Subscribe(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	const n = 3000
	published, restarts := make(chan int, n), make(chan struct{}, 3)
	go func() {
		for i := range n {
			m := message.NewMessage(fmt.Sprint(i), nil)
			driverkit.Poll(t, func() bool { return bus.Publish("t", m) == nil }) // again until it is confirmed
			if i%(n/4) == n/4-1 && i < n-1 {
				restarts <- struct{}{}
			}
			published <- i
		}
		close(restarts)
	}()
	received := make(chan error, 1)
	go func() { received <- driverkit.ReceiveNumbers(batches, n) }()
	for range restarts {
		s.Kill()
		s.Restart()
	}
	if err := <-received; err != nil {
		t.Fatal(err)
	}
	if len(published) != n {
		t.Fatalf("%d published", len(published))
	}
}
