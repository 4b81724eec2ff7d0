package jetstream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// The suite makes hundreds of streams at once and is not about how long that
// takes on a machine that has other work to do.
const patient = "?storage=memory&reply_timeout=30s"

var unhurried = transport.Config{PublishTimeout: 30 * time.Second, FollowTimeout: 30 * time.Second}

// Watermill's suite as a node uses the bus. The features leave out
// ConsumerGroups, which TestWatermillsSuiteInGroups runs, and Reconnect, which
// has a data race of its own and so cannot run under the race detector;
// TestARestartOfTheServerLosesNothing does the same.
func TestWatermillsSuite(t *testing.T) {
	s := broker.NATS(t)
	features := tests.Features{
		GuaranteedOrder:                  true,
		Persistent:                       true,
		NewSubscriberReceivesOldMessages: true,
	}
	openPatient := func(t testing.TB) transport.Driver { return open(t, s.URL("jetstream")+patient) }
	driverkit.RunSuite(t, features, at(0), openPatient, unhurried)
}

// The subscribers of a group share its messages, so no order is declared, and
// PublishSubscribeInOrder and NoAck are left out. So is Reconnect, as above.
func TestWatermillsSuiteInGroups(t *testing.T) {
	s := broker.NATS(t)
	features := tests.Features{
		ConsumerGroups:                   true,
		Persistent:                       true,
		NewSubscriberReceivesOldMessages: true,
		ForceShort:                       true,
	}
	openPatient := func(t testing.TB) transport.Driver { return open(t, s.URL("jetstream")+patient) }
	driverkit.RunSuiteInGroups(t, features, openPatient, openPatient, unhurried)
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
			driverkit.Poll(t, func() bool { return bus.Publish("t", m) == nil }) // again until it is confirmed
			if i%(n/4) == n/4-1 && i < n-1 {
				restarts <- struct{}{}
			}
		}
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
}
