package driverkit

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// VerifyNoLeaks runs the tests and fails if goroutines are left. It ignores two
// goroutines of Watermill's suite, which reads from several subscribers through
// a multiplier of its own and does not stop that.
func VerifyNoLeaks(m goleak.TestingM) {
	const multiplier = "github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe"
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(multiplier+".func2"),
		goleak.IgnoreAnyFunction(multiplier+".func3"))
}

// FromBeginning is a driver whose feeds start at the beginning of the log, where
// a node's feeds start at its tail. Most tests of Watermill's suite need that,
// since they publish before they subscribe.
type FromBeginning struct {
	transport.Driver
	Beginning domain.Position // the position before the first entry
}

// Follow follows after the position, or from the beginning if there is none.
func (d FromBeginning) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	if after == "" {
		after = d.Beginning
	}
	return d.Driver.Follow(ctx, topic, after)
}

// CloseAtEnd calls the functions when the test ends, since some tests of
// Watermill's suite close nothing.
func CloseAtEnd(t *testing.T, closers ...func() error) {
	t.Cleanup(func() {
		for _, closeIt := range closers {
			if err := closeIt(); err != nil && !errors.Is(err, domain.ErrClosed) {
				t.Error(err)
			}
		}
	})
}

// RunSuite runs Watermill's suite on a bus with a log, as a node uses it. The
// features say which of its tests do not apply.
func RunSuite(t *testing.T, features tests.Features, beginning domain.Position,
	open func(t testing.TB) transport.Driver, cfg transport.Config,
) {
	tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) {
		pub := transport.New(open(t), cfg)
		sub := transport.New(FromBeginning{open(t), beginning}, cfg)
		CloseAtEnd(t, pub.Close, sub.Close)
		return pub, sub
	}, nil)
}

// RunSuiteInGroups runs Watermill's suite with subscribers in consumer groups.
// Publishers and subscribers may be opened with different URLs.
func RunSuiteInGroups(t *testing.T, features tests.Features,
	openPublisher, openSubscriber func(t testing.TB) transport.Driver, cfg transport.Config,
) {
	inGroup := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		bus := transport.New(openSubscriber(t), cfg)
		sub, err := bus.Group(group)
		if err != nil {
			t.Fatal(err)
		}
		pub := transport.New(openPublisher(t), cfg)
		CloseAtEnd(t, pub.Close, sub.Close, bus.Close)
		return pub, sub
	}
	tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) {
		return inGroup(t, string(tests.NewTestID()))
	}, inGroup)
}

// RunSuiteWithoutLog runs the tests of Watermill's suite that apply to a bus
// without a log, and names the others with the reason why they do not. Bus is
// the name of the bus, and noGroups is why the test of groups is left out.
func RunSuiteWithoutLog(t *testing.T, bus, noGroups string, open func(t testing.TB) transport.Driver) {
	features := tests.Features{
		ExactlyOnceDelivery:   true,
		GuaranteedOrder:       true,
		RequireSingleInstance: true,
	}
	newPubSub := func(t *testing.T) (message.Publisher, message.Subscriber) {
		bus := transport.New(open(t), transport.Config{})
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
		"ContinueAfterSubscribeClose":      bus + " keeps nothing for a subscriber that comes back",
		"ConcurrentClose":                  "it subscribes after it published",
		"ContinueAfterErrors":              "it subscribes again and wants what was published before",
		"SubscribeCtx":                     "it subscribes again and wants what was published before",
		"NewSubscriberReceivesOldMessages": bus + " keeps nothing for new subscribers",
		"Reconnect":                        "what is published meanwhile is lost: our own tests check the gap",
		"ConsumerGroups":                   noGroups,
	} {
		t.Run(name, func(t *testing.T) { t.Skip("left out: " + reason) })
	}
}

// early subscribes when Watermill's suite announces that it is going to. Most of
// its tests publish before they subscribe, and a bus without a log keeps nothing
// for subscribers that come later.
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
