package watermillbus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/watermillbus"
	"github.com/fanfarebus/fanfare/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A pubSub is a Publisher and Subscriber whose methods a test provides.
type pubSub struct {
	publish   func(topic string, m *message.Message) error
	subscribe func(ctx context.Context) (<-chan *message.Message, error)
	close     func() error

	mu     sync.Mutex
	closed int
}

func (p *pubSub) Publish(topic string, msgs ...*message.Message) error {
	for _, m := range msgs {
		if err := p.publish(topic, m); err != nil {
			return err
		}
	}
	return nil
}

func (p *pubSub) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	return p.subscribe(ctx)
}

func (p *pubSub) Close() error {
	p.mu.Lock()
	p.closed++
	p.mu.Unlock()
	if p.close != nil {
		return p.close()
	}
	return nil
}

func on(topic string, bodies ...string) (records []transport.Outgoing) {
	for _, b := range bodies {
		records = append(records, transport.Outgoing{Topic: topic, Message: message.NewMessage(b, []byte(b))})
	}
	return records
}

func TestPublishIsBoundedAndTheCallIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []string
		release := make(chan struct{})
		p := &pubSub{publish: func(_ string, m *message.Message) error {
			if m.UUID == "slow" {
				<-release
			}
			sent = append(sent, string(m.Payload)) // one at a time
			return nil
		}}
		d := watermillbus.New(p, nil, watermillbus.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		records := on("t", "first", "slow", "never")
		start := time.Now()
		errs := d.Publish(ctx, records)
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v", took)
		}
		if len(errs) != 3 || errs[0] != nil || !errors.Is(errs[1], context.DeadlineExceeded) || errs[2] == nil {
			t.Errorf("errors %v", errs)
		}
		copy(records[1].Message.Payload, "spoiled")

		// The next message of the topic waits for it, that of another topic does not.
		if errs := d.Publish(t.Context(), on("another", "elsewhere")); errs != nil {
			t.Errorf("another topic: %v", errs)
		}
		next := make(chan []error)
		go func() { next <- d.Publish(t.Context(), on("t", "next")) }()
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- d.Close() }()
		synctest.Wait()
		select {
		case err := <-closed:
			t.Errorf("Close did not wait: %v", err)
		default:
		}
		close(release)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if errs := <-next; errs != nil {
			t.Errorf("the topic's next: %v", errs)
		}
		if want := []string{"first", "elsewhere", "slow", "next"}; !slices.Equal(sent, want) {
			t.Errorf("sent %q, want %q", sent, want)
		}
	})
}

func TestEachMessageHasItsOwnError(t *testing.T) {
	p := &pubSub{publish: func(_ string, m *message.Message) error {
		if m.UUID == "2" {
			return fmt.Errorf("too long: %w", domain.ErrTooLarge)
		}
		return nil
	}}
	d := watermillbus.New(p, nil, watermillbus.Config{})
	errs := d.Publish(t.Context(), on("t", "1", "2", "3"))
	if len(errs) != 3 || errs[0] != nil || !errors.Is(errs[1], domain.ErrTooLarge) || errs[2] != nil {
		t.Errorf("errors %v", errs)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestOneMessageIsInFlightAndAckedWhenTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan *message.Message, 3)
		p := &pubSub{subscribe: func(ctx context.Context) (<-chan *message.Message, error) {
			context.AfterFunc(ctx, func() { close(in) })
			return in, nil
		}}
		d := watermillbus.New(nil, p, watermillbus.Config{})
		f, err := d.Follow(t.Context(), "t", "")
		if err != nil {
			t.Fatal(err)
		}
		var sent []*message.Message
		for i := range 3 {
			m := message.NewMessage(fmt.Sprint(i), nil)
			m.Metadata = message.Metadata{"b": "2", "a": "1"}
			sent = append(sent, m)
			in <- m
		}
		synctest.Wait()
		if acked(sent[0]) {
			t.Error("acked before it was taken")
		}
		got, err := f.Read(t.Context())
		if err != nil || len(got) != 3 {
			t.Fatalf("read %d entries, %v", len(got), err)
		}
		for i, e := range got {
			if want := []domain.Field{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}; e.UUID != fmt.Sprint(i) || !slices.Equal(e.Header, want) {
				t.Errorf("entry %d is %+v", i, e)
			}
			if !acked(sent[i]) {
				t.Errorf("%d was taken and not acked", i)
			}
		}
		left := message.NewMessage("left", nil)
		in <- left
		_ = f.Close()
		synctest.Wait()
		select {
		case <-left.Nacked():
		default:
			t.Error("what came after Close is not nacked: the broker waits for it")
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

func acked(m *message.Message) bool {
	select {
	case <-m.Acked():
		return true
	default:
		return false
	}
}

// A subscription that ends by itself is an interruption, and so a gap. The next
// subscription continues.
func TestASubscriptionThatEndsIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var feeds []chan *message.Message
		fail := false
		p := &pubSub{subscribe: func(ctx context.Context) (<-chan *message.Message, error) {
			mu.Lock()
			defer mu.Unlock()
			if fail {
				return nil, errors.New("no broker")
			}
			in := make(chan *message.Message)
			feeds = append(feeds, in)
			if len(feeds) > 1 {
				context.AfterFunc(ctx, func() { close(in) })
			}
			return in, nil
		}}
		d := watermillbus.New(nil, p, watermillbus.Config{})
		bus := transport.New(d, transport.Config{})
		in, err := bus.Batches().Subscribe(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		(<-in).Ack() // its start
		mu.Lock()
		fail = true
		close(feeds[0])
		mu.Unlock()
		time.Sleep(10 * time.Second)
		if d.Ping(t.Context()) == nil {
			t.Error("the bus is said to be up though nobody can subscribe")
		}
		mu.Lock()
		fail = false
		mu.Unlock()
		m := <-in
		if batch, _ := domain.EntriesFrom(m.Context()); len(batch) != 1 || batch[0].Kind != domain.Gap || batch[0].Reason != domain.Lossy {
			t.Errorf("got %+v, want a break", batch)
		}
		m.Ack()
		if err := d.Ping(t.Context()); err != nil {
			t.Errorf("when it is back: %v", err)
		}
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestSubscribeThatDoesNotReturnHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := &pubSub{subscribe: func(context.Context) (<-chan *message.Message, error) {
			<-release
			late := make(chan *message.Message)
			close(late)
			return late, nil
		}}
		d := watermillbus.New(p, p, watermillbus.Config{CloseTimeout: time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.Follow(ctx, "t", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Follow: %v", err)
		}
		start := time.Now()
		if err := d.Close(); err == nil || time.Since(start) != time.Second {
			t.Errorf("Close: %v after %v, want an error after its timeout", err, time.Since(start))
		}
		close(release)
		synctest.Wait()
		if p.closed != 1 {
			t.Errorf("the one Pub/Sub was closed %d times", p.closed)
		}
	})
}

func TestAPanicInThePubSubIsAnError(t *testing.T) {
	p := &pubSub{} // its functions are nil
	d := watermillbus.New(p, p, watermillbus.Config{})
	if _, err := d.Follow(t.Context(), "t", ""); err == nil {
		t.Error("Follow succeeded")
	}
	if errs := d.Publish(t.Context(), on("t", "1")); len(errs) != 1 || errs[0] == nil {
		t.Errorf("Publish: %v", errs)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// Without a publisher, a subscriber or groups, the calls that need them fail.
func TestMissingHalvesAreUnsupported(t *testing.T) {
	d := watermillbus.New(nil, nil, watermillbus.Config{})
	_, follow := d.Follow(t.Context(), "t", "")
	_, group := d.Group("g")
	publish := d.Publish(t.Context(), on("t", "1"))[0]
	for what, err := range map[string]error{"Follow": follow, "Group": group, "Publish": publish} {
		if !errors.Is(err, domain.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := watermillbus.New(nil, &pubSub{}, watermillbus.Config{}).Follow(t.Context(), "t", "place"); !errors.Is(err, domain.ErrUnsupported) {
		t.Errorf("Follow after a position: %v", err)
	}
}
