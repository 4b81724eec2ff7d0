package natscore_test

import (
	"context"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
)

// early subscribes when the suite says that it is going to: most of its tests
// publish first, and core NATS keeps nothing for those who come later.
type early struct {
	*transport.Transport
	mu    sync.Mutex
	ready map[string]<-chan *message.Message // guarded by mu
}

func (e *early) SubscribeInitialize(topic string) error {
	messages, err := e.Transport.Subscribe(context.Background(), topic)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ready[topic] = messages
	return nil
}

func (e *early) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	e.mu.Lock()
	messages, ok := e.ready[topic]
	delete(e.ready, topic)
	e.mu.Unlock()
	if ok {
		return messages, nil
	}
	return e.Transport.Subscribe(ctx, topic)
}

// Every test that Watermill's suite exports is here, run or with the reason why
// not.
func TestWatermillsSuite(t *testing.T) {
	s := broker.NATS(t)
	features := tests.Features{
		ExactlyOnceDelivery:   true,
		GuaranteedOrder:       true,
		RequireSingleInstance: true,
	}
	newPubSub := func(t *testing.T) (message.Publisher, message.Subscriber) {
		bus := transport.New(open(t, s.URL("nats")), transport.Config{})
		t.Cleanup(func() { _ = bus.Close() })
		return bus, &early{Transport: bus, ready: make(map[string]<-chan *message.Message)}
	}
	for name, test := range map[string]func(*testing.T, tests.TestContext, tests.PubSubConstructor){
		"PublishSubscribe":                  tests.TestPublishSubscribe,
		"ConcurrentSubscribe":               tests.TestConcurrentSubscribe,
		"ConcurrentSubscribeMultipleTopics": tests.TestConcurrentSubscribeMultipleTopics,
		"ResendOnError":                     tests.TestResendOnError,
		"NoAck":                             tests.TestNoAck,
		"PublishSubscribeInOrder":           tests.TestPublishSubscribeInOrder,
		"PublisherClose":                    tests.TestPublisherClose,
		"Topic":                             tests.TestTopic,
		"MessageCtx":                        tests.TestMessageCtx,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, tests.TestContext{TestID: tests.NewTestID(), Features: features}, newPubSub)
		})
	}
	for name, reason := range map[string]string{
		"ContinueAfterSubscribeClose":      "core NATS keeps nothing for a subscriber that comes back",
		"ConcurrentClose":                  "it subscribes after it published",
		"ContinueAfterErrors":              "it subscribes again and wants what was published before",
		"SubscribeCtx":                     "it subscribes again and wants what was published before",
		"NewSubscriberReceivesOldMessages": "core NATS keeps nothing for new subscribers",
		"Reconnect":                        "what is published during an interruption is lost: a gap, which our own tests check",
		"ConsumerGroups":                   "it publishes before the group subscribes; our own test has groups",
	} {
		t.Run(name, func(t *testing.T) { t.Skip("left out: " + reason) })
	}
}
