package memory_test

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

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

func join(t *testing.T, bus *memory.Bus, group string) message.Subscriber {
	t.Helper()
	sub, err := bus.Driver().(transport.GroupDriver).Group(group)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
	return sub
}

func hearing(t *testing.T, sub message.Subscriber) <-chan *message.Message {
	t.Helper()
	in, err := sub.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestGroupSharesATopicFromItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.New(memory.Config{})
		publish(t, bus, numbered(50)...)
		var mu sync.Mutex
		got := make(map[string][]string)
		hear := func(group string) {
			in := hearing(t, join(t, bus, group))
			go func() {
				for m := range in {
					mu.Lock()
					got[group] = append(got[group], m.UUID)
					mu.Unlock()
					m.Ack()
				}
			}()
		}
		hear("alone")
		hear("workers")
		hear("workers")
		synctest.Wait()
		publish(t, bus, numbered(100)[50:]...)
		synctest.Wait()
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint(i))
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(got["alone"], want) {
			t.Errorf("alone: %v", got["alone"])
		}
		slices.Sort(want)
		slices.Sort(got["workers"])
		if !slices.Equal(got["workers"], want) {
			t.Errorf("together: %v", got["workers"])
		}
	})
}

func TestMessageThatIsNotAckedGoesToAnotherMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.New(memory.Config{})
		publish(t, bus, numbered(3)...)
		ctx, leave := context.WithCancel(t.Context())
		quitter, err := join(t, bus, "workers").Subscribe(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		zero := <-quitter
		other := hearing(t, join(t, bus, "workers"))
		one := <-other
		one.Nack()
		synctest.Wait()
		leave()
		synctest.Wait()
		select {
		case <-zero.Context().Done():
		default:
			t.Error("the context of a message outlives its subscription")
		}
		for _, want := range []string{"0", "1", "2"} {
			m := <-other
			if m.UUID != want {
				t.Errorf("got %s, want %s", m.UUID, want)
			}
			m.Ack()
		}
		if _, ok := <-quitter; ok {
			t.Error("the channel of who left is open")
		}
	})
}

func TestGroupContinuesAfterDroppedMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.New(memory.Config{Messages: 2})
		in := hearing(t, join(t, bus, "workers"))
		publish(t, bus, numbered(1)...)
		first := <-in
		publish(t, bus, numbered(10)[1:]...)
		first.Ack()
		for _, want := range []string{"8", "9"} {
			m := <-in
			if m.UUID != want {
				t.Errorf("got %s, want %s", m.UUID, want)
			}
			m.Ack()
		}
	})
}

func TestGroupRestartsWhenItsTopicIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.New(memory.Config{})
		in := hearing(t, join(t, bus, "workers"))
		publish(t, bus, numbered(5)...)
		held := <-in
		bus.Renew(topic)
		held.Nack()
		publish(t, bus, message.NewMessage("new", nil))
		for m := range in {
			m.Ack()
			if m.UUID == "new" {
				break
			}
		}
	})
}

func TestNackedMessagesArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.New(memory.Config{})
		publish(t, bus, numbered(1)...)
		in := hearing(t, join(t, bus, "workers"))
		start := time.Now()
		for range 100 {
			(<-in).Nack()
		}
		if took := time.Since(start); took < 900*time.Millisecond {
			t.Errorf("100 times within %v", took)
		}
	})
}

func TestGroupsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.New(memory.Config{})
		publish(t, bus, numbered(1)...)
		sub := join(t, bus, "workers")
		in := hearing(t, sub)
		<-in
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
		if _, ok := <-in; ok {
			t.Error("open after Close")
		}
		if _, err := sub.Subscribe(t.Context(), topic); !errors.Is(err, domain.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		rest := hearing(t, join(t, bus, "workers"))
		m := <-rest
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
		m.Ack()
		if _, ok := <-rest; ok {
			t.Error("open after the bus was closed")
		}
		if _, err := join(t, bus, "workers").Subscribe(t.Context(), topic); !errors.Is(err, domain.ErrClosed) {
			t.Errorf("bus closed: %v", err)
		}
	})
}

func TestGroupsAreBoundedAndNamed(t *testing.T) {
	bus := memory.New(memory.Config{})
	for i := range 1000 {
		hearing(t, join(t, bus, fmt.Sprint(i)))
	}
	if _, err := join(t, bus, "one more").Subscribe(t.Context(), topic); !errors.Is(err, domain.ErrLimit) {
		t.Errorf("got %v", err)
	}
	if _, err := bus.Group(""); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	d := bus.Driver()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.(transport.GroupDriver).Group("late"); !errors.Is(err, domain.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
