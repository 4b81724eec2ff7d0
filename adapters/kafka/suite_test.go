package kafka_test

import (
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// Watermill's suite as a node uses the bus. The features leave out
// ConsumerGroups, which TestWatermillsSuiteInGroups runs, and Reconnect, which
// has a data race of its own and so cannot run under the race detector;
// TestARestartOfTheBrokerLosesNothing does the same.
func TestWatermillsSuite(t *testing.T) {
	features := tests.Features{
		GuaranteedOrder:                  true,
		Persistent:                       true,
		NewSubscriberReceivesOldMessages: true,
		ForceShort:                       true,
	}
	for name, start := range map[string]func(testing.TB) string{
		"fake": func(t testing.TB) string { return fakeURL(t) },
		"real": broker.KafkaURL,
	} {
		t.Run(name, func(t *testing.T) {
			url := start(t)
			openHere := func(t testing.TB) transport.Driver { return open(t, url) }
			driverkit.RunSuite(t, features, beginning, openHere, transport.Config{})
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
	openHere := func(t testing.TB) transport.Driver { return open(t, url) }
	driverkit.RunSuiteInGroups(t, features, openHere, openHere, transport.Config{})
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
			driverkit.Poll(t, func() bool { return bus.Publish(topic, m) == nil }) // again until it is confirmed
			if i == n/2 {
				close(half)
			}
		}
	}()
	received := make(chan error, 1)
	go func() { received <- driverkit.ReceiveNumbers(batches, n) }()
	<-half
	s.Kill()
	s.Restart()
	if err := <-received; err != nil {
		t.Fatal(err)
	}
	<-published
}
