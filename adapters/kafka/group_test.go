package kafka_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

func (k kit) group(name string) message.Subscriber {
	k.t.Helper()
	s, err := k.d.(transport.GroupDriver).Group(name)
	k.must(err)
	k.t.Cleanup(func() { _ = s.Close() })
	return s
}

func (k kit) subscribe(s message.Subscriber) <-chan *message.Message {
	k.t.Helper()
	in, err := s.Subscribe(k.t.Context(), k.topic)
	k.must(err)
	return in
}

func (k kit) receive(in <-chan *message.Message) *message.Message {
	k.t.Helper()
	select {
	case m, ok := <-in:
		if !ok {
			k.t.Fatal("the subscription has ended")
		}
		return m
	case <-time.After(40 * time.Second):
		k.t.Fatal("nothing came")
	}
	return nil
}

func TestAGroupGoesOnBehindWhatWasAcked(t *testing.T) {
	onEach(t, func(k kit) {
		k.publish(newMessage("u1", "1", "to", "*"), newMessage("u2", "2"), newMessage("u3", "3"))
		k.add(4, 4)
		first := k.group("g-" + k.topic)
		in := k.subscribe(first)
		m := k.receive(in)
		if m.UUID != "u1" || string(m.Payload) != "1" || m.Metadata.Get("to") != "*" {
			k.t.Errorf("got %+v", m)
		}
		m.Nack()
		m = k.receive(in)
		if m.UUID != "u1" {
			k.t.Errorf("after a nack: %s", m.UUID)
		}
		m.Ack()
		if m = k.receive(in); m.UUID != "u2" {
			k.t.Errorf("after an ack: %s", m.UUID)
		}
		k.must(first.Close()) // without an answer to the second
		if _, more := <-in; more {
			k.t.Error("a message came after Close")
		}
		in = k.subscribe(k.group("g-" + k.topic))
		for _, want := range []string{"2", "3", "4"} {
			if m = k.receive(in); string(m.Payload) != want || m.UUID == "" {
				k.t.Errorf("the next member got %q, want %s", m.Payload, want)
			}
			m.Ack()
		}
	})
}

func TestGroupsAreIndependentAndAMemberStandsIn(t *testing.T) {
	onEach(t, func(k kit) {
		const n = 20
		k.create(1)
		k.add(1, n)
		one, two := k.group("one-"+k.topic), k.group("two-"+k.topic)
		for _, g := range []message.Subscriber{one, two} {
			in := k.subscribe(g)
			for i := range n / 2 {
				m := k.receive(in)
				if string(m.Payload) != fmt.Sprint(i+1) {
					k.t.Fatalf("got %s, want %d", m.Payload, i+1)
				}
				m.Ack()
			}
		}
		spare := k.subscribe(k.group("one-" + k.topic))
		k.must(one.Close())
		for i := n / 2; i < n; i++ {
			m := k.receive(spare)
			if string(m.Payload) != fmt.Sprint(i+1) {
				k.t.Fatalf("the spare got %s, want %d", m.Payload, i+1)
			}
			m.Ack()
		}
		k.must(k.d.Ping(k.t.Context())) // closing a group leaves the driver alone
	})
}

func TestAClosedGroupTakesNoSubscription(t *testing.T) {
	k := newKit(t, fakeURL(t))
	g := k.group("g")
	k.must(g.Close())
	k.must(g.Close())
	if _, err := g.Subscribe(t.Context(), k.topic); !errors.Is(err, domain.ErrClosed) {
		t.Errorf("error %v", err)
	}
	if _, err := k.d.(transport.GroupDriver).Group(""); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("without a name: %v", err)
	}
}

// What was trimmed while a group stood still is counted and logged.
func TestWhatAGroupHasLostIsCounted(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(1)
		k.add(1, 10)
		first := k.group("g-" + k.topic)
		in := k.subscribe(first)
		for range 4 {
			k.receive(in).Ack()
		}
		k.must(first.Close())
		lost := func() uint64 { return k.d.(transport.LossCounter).Lost() }
		if n := lost(); n != 0 {
			k.t.Errorf("%d are lost at first", n)
		}
		k.trim(8)
		in = k.subscribe(k.group("g-" + k.topic))
		for _, want := range []string{"9", "10"} {
			m := k.receive(in)
			if string(m.Payload) != want {
				k.t.Errorf("got %s, want %s", m.Payload, want)
			}
			m.Ack()
		}
		if n := lost(); n != 4 {
			k.t.Errorf("%d are lost, want 4", n)
		}
		k.receive(k.subscribe(k.group("new-" + k.topic))).Ack()
		if n := lost(); n != 4 {
			k.t.Errorf("%d are lost when a new group begins", n)
		}
	})
}
