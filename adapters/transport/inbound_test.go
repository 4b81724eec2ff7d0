package transport_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A shelf is a bus that keeps what is published until it is consumed, as its
// publishers see it.
type shelf struct {
	mu     sync.Mutex
	topics map[string][]time.Time // when what lies there came; guarded by mu
	bytes  int                    // of it, when it came; guarded by mu
	err    error                  // what Unconsumed says; guarded by mu
	fails  error                  // what PublishContext says; guarded by mu
	asked  int                    // guarded by mu
}

func (s *shelf) PublishContext(_ context.Context, topic string, messages ...*message.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return s.fails
	}
	if s.topics == nil {
		s.topics = make(map[string][]time.Time)
	}
	for _, m := range messages {
		s.topics[topic] = append(s.topics[topic], time.Now())
		s.bytes += len(m.Payload)
	}
	return nil
}

func (s *shelf) PublishStored(ctx context.Context, topic string, messages ...*message.Message) (transport.Stored, error) {
	return transport.Stored{}, s.PublishContext(ctx, topic, messages...)
}

func (s *shelf) Unconsumed(_ context.Context, topic string) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.err != nil || len(s.topics[topic]) == 0 {
		return 0, s.err
	}
	return max(time.Since(s.topics[topic][0]), time.Millisecond), nil
}

// consume lets consumers have all but the newest.
func (s *shelf) consume(topic string, keep int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lies := s.topics[topic]
	s.topics[topic] = lies[max(0, len(lies)-keep):]
}

// A sender sends to systems through an EnvelopePublisher.
type sender struct {
	*testing.T
	shelf *shelf
	out   *transport.EnvelopePublisher
}

func newSender(t *testing.T, limits transport.InboundLimits) *sender {
	topics, err := domain.ParseTopics("fanfare.{system}")
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{t, &shelf{}, nil}
	s.out = transport.NewEnvelopePublisher(s.shelf, topics, 0)
	s.out.LimitInbound(limits, slog.New(slog.DiscardHandler))
	return s
}

const ordersInbound = "fanfare.orders.inbound"

func (s *sender) send(user, system string, size int) error {
	s.Helper()
	to, err := domain.ParseSystem(system)
	if err != nil {
		s.Fatal(err)
	}
	return s.out.Inbound(s.Context(), to, &domain.Message{From: user, ContentType: domain.Text, Data: bytes.Repeat([]byte("x"), size)}, "01S")
}

// fill sends until it is refused, and returns how often it was not.
func (s *sender) fill(user, system string) (n int) {
	s.Helper()
	for ; n < 10_000; n++ {
		err := s.send(user, system, 1000)
		if errors.Is(err, domain.ErrInboundFull) && errors.Is(err, domain.ErrLimit) {
			return n
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	s.Fatal("nothing is refused")
	return n
}

// One user fills a part of his own, counted over all systems. All users together fill
// the part of a system.
func TestInboundIsBoundedByUserAndSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, transport.InboundLimits{User: 20_000, System: 50_000})
		if n := s.fill("alice", "orders"); n < 10 || s.shelf.bytes > 20_000 {
			t.Errorf("alice could send %d messages, %d bytes", n, s.shelf.bytes)
		}
		if n := s.fill("alice", "chat"); n != 0 {
			t.Errorf("alice could send %d messages to another system", n)
		}
		for i := range 5 {
			s.fill("u"+strconv.Itoa(i), "orders")
		}
		if s.shelf.bytes > 50_000 || s.shelf.bytes < 30_000 {
			t.Errorf("%d bytes lie in orders", s.shelf.bytes)
		}
		if n := s.fill("bob", "chat"); n == 0 {
			t.Error("bob cannot send to a system that is not full")
		}
	})
}

// A message that is larger than the bounds can be sent, one at a time.
func TestOneMessageIsNeverTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, transport.InboundLimits{User: 1000, System: 2000})
		for range 3 {
			if err := s.send("alice", "orders", 5000); err != nil {
				t.Error(err)
			}
			if err := s.send("alice", "orders", 10); !errors.Is(err, domain.ErrInboundFull) {
				t.Errorf("another one: %v", err)
			}
			time.Sleep(10 * time.Second)
			s.shelf.consume(ordersInbound, 0)
			time.Sleep(2 * time.Second)
		}
	})
}

// What is consumed makes room; what is not keeps it, however long it takes.
func TestConsumingMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, transport.InboundLimits{User: 20_000})
		all := s.fill("alice", "orders")
		time.Sleep(30 * time.Minute)
		if n := s.fill("alice", "orders"); n != 0 {
			t.Errorf("nothing was consumed, and alice could send %d more", n)
		}
		s.shelf.consume(ordersInbound, 0)
		time.Sleep(2 * time.Second)
		if n := s.fill("alice", "orders"); n != all {
			t.Errorf("all was consumed, and alice could send %d, want %d", n, all)
		}
		time.Sleep(time.Minute)
		s.shelf.consume(ordersInbound, 1) // one of the last minute's remains
		time.Sleep(2 * time.Second)
		if n := s.fill("alice", "orders"); n != 0 {
			t.Errorf("of what was sent at one time something is left, and alice could send %d", n)
		}
	})
}

// What a user sent to other systems makes room when it is consumed there, also if
// nobody sends to them any more.
func TestConsumingElsewhereMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, transport.InboundLimits{User: 20_000})
		for i := range 16 {
			if err := s.send("alice", "shop-"+strconv.Itoa(i), 500); err != nil {
				t.Fatal(err)
			}
		}
		s.fill("alice", "orders")
		if n := s.fill("alice", "chat"); n != 0 {
			t.Errorf("nothing was consumed, and alice could send %d", n)
		}
		time.Sleep(10 * time.Second)
		for i := range 16 {
			s.shelf.consume("fanfare.shop-"+strconv.Itoa(i)+".inbound", 0)
		}
		s.shelf.consume(ordersInbound, 0)
		n := 0
		for range 10 {
			time.Sleep(time.Second)
			n += s.fill("alice", "chat")
		}
		if n < 10 {
			t.Errorf("all was consumed, and alice could send %d to a system that she had not sent to", n)
		}
	})
}

// A topic that is moved to a bus which does not know what is consumed takes no
// room any more.
func TestTopicThatMovesAwayMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, transport.InboundLimits{User: 20_000})
		s.fill("alice", "orders")
		s.shelf.err = domain.ErrUnsupported
		time.Sleep(10 * time.Second)
		if err := s.send("alice", "orders", 1000); err != nil {
			t.Error(err)
		}
		s.shelf.err = nil
		if n := s.fill("alice", "chat"); n < 10 {
			t.Errorf("alice could send %d to a system that has not moved", n)
		}
	})
}

// A client whose messages are consumed as they come may go on for ever.
func TestPromptConsumersBoundNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, transport.InboundLimits{User: 50_000})
		for range 1000 {
			if err := s.send("alice", "orders", 1000); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
			s.shelf.consume(ordersInbound, 0)
		}
		if s.shelf.asked > 250 {
			t.Errorf("the bus was asked %d times in 200 s", s.shelf.asked)
		}
	})
}

// A bus that does not know what is consumed bounds it in its own way; one that
// does not answer is taken to have consumed what is old.
func TestBusThatDoesNotSayWhatIsConsumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, transport.InboundLimits{User: 20_000})
		s.shelf.err = domain.ErrUnsupported
		for range 1000 {
			if err := s.send("alice", "orders", 1000); err != nil {
				t.Fatal(err)
			}
		}
		s = newSender(t, transport.InboundLimits{User: 20_000})
		s.shelf.err = domain.ErrBusDown
		if n := s.fill("alice", "orders"); n == 0 {
			t.Error("nothing can be sent while the bus does not say what is consumed")
		}
		time.Sleep(2 * time.Hour)
		if n := s.fill("alice", "orders"); n == 0 {
			t.Error("nothing can be sent two hours later")
		}
	})
}

// What the bus has refused takes no room; of what is not known, it may.
func TestWhatTheBusRefusesTakesNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, transport.InboundLimits{User: 20_000})
		s.shelf.fails = &domain.PublishError{Err: domain.ErrBusRefused}
		for range 1000 {
			if err := s.send("alice", "orders", 1000); !errors.Is(err, domain.ErrBusRefused) {
				t.Fatal(err)
			}
		}
		s.shelf.fails = &domain.PublishError{Err: domain.ErrBusDown}
		refused := 0
		for range 1000 {
			if err := s.send("alice", "orders", 1000); errors.Is(err, domain.ErrInboundFull) {
				refused++
			}
		}
		if refused < 900 {
			t.Errorf("of 1000 messages whose fate is not known %d were refused", refused)
		}
	})
}

func TestManyWhoSendAtOnceAreCountedRight(t *testing.T) {
	s := newSender(t, transport.InboundLimits{User: 1 << 20, System: 100_000})
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for range 100 {
				_ = s.send("u"+strconv.Itoa(i), "orders", 1000)
			}
		})
	}
	all.Wait()
	if s.shelf.bytes > 100_000 || s.shelf.bytes < 50_000 {
		t.Errorf("%d bytes lie there", s.shelf.bytes)
	}
}
