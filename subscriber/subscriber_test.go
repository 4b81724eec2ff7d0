package subscriber_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/cloudevent"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/subscriber"
)

func memoryKit(t *testing.T) kit {
	bus := memory.New(memory.Config{})
	t.Cleanup(func() { _ = bus.Close() })
	return newKit(t, func(cfg transport.Config) *transport.Transport {
		return transport.New(bus.Driver(), cfg)
	})
}

const users, each = 12, 15

func (k kit) sendAll(from, to int) {
	for n := from; n < to; n++ {
		for u := range users {
			k.send(fmt.Sprint("user", u), n)
		}
	}
}

// Handlers fail at random places, and some users' messages take long. Everything comes,
// each user's in order, with the fields that the node has set.
func TestMessagesOfAUserComeInOrderOnEachBus(t *testing.T) {
	onEachBus(t, func(t *testing.T, k kit) {
		l := newLog()
		s := k.subscriber("service", subscriber.Config{RetryMin: time.Millisecond, RetryMax: 5 * time.Millisecond, Concurrency: 8})
		var failures atomic.Int64
		k.run(s, func(_ context.Context, m *subscriber.Message) error {
			if m.User != "warm" && m.Attempt == 1 && len(m.Data)%2 == 1 && strings.HasSuffix(m.ID, "3") {
				failures.Add(1)
				return errors.New("not now")
			}
			if m.Session != "session-"+m.User || m.Type != "said" || m.System != k.system.String() || m.Time.IsZero() ||
				m.ContentType != domain.JSON {
				t.Errorf("received %+v", m)
			}
			l.add(m)
			return nil
		})
		k.warm(l)
		k.sendAll(0, each/2)
		k.garbage(`{"type":"no user has sent this"}`)
		k.garbage("\x00 no JSON")
		k.sendAll(each/2, each)
		until(t, "all messages", func() bool { return l.count() == users*each })
		l.ordered(t)
		if failures.Load() == 0 || s.Stats().Failed < failures.Load() {
			t.Errorf("%d handlers failed, %+v", failures.Load(), s.Stats())
		}
		until(t, "poison is counted", func() bool { return s.Stats().Poison == 2 && s.Stats().InFlight == 0 })
	})
}

// A service is stopped while it works, and started again: nothing is lost where the bus
// keeps a log, and what was acked does not come again.
func TestNothingIsLostWhenAServiceIsStartedAgain(t *testing.T) {
	onEachBus(t, func(t *testing.T, k kit) {
		if !k.raw.Guarantees().Log {
			return // the first test covers what they promise
		}
		l := newLog()
		started := make(chan struct{}, 1000)
		// With fewer handlers, those that are caught keep the others from getting so far.
		first := k.subscriber("service", subscriber.Config{Concurrency: users})
		stop := k.run(first, func(ctx context.Context, m *subscriber.Message) error {
			select {
			case started <- struct{}{}:
			default:
			}
			if n := string(m.Data); n > "4" && len(n) == 1 {
				<-ctx.Done() // caught by the end while it works
				return ctx.Err()
			}
			l.add(m)
			return nil
		})
		k.sendAll(0, each)
		<-started
		until(t, "the first messages", func() bool { return l.count() >= users*5 })
		stop()
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		k.run(k.subscriber("service", subscriber.Config{Concurrency: 4}), func(_ context.Context, m *subscriber.Message) error {
			l.add(m)
			return nil
		})
		until(t, "the other messages", func() bool { return l.count() == users*each })
		l.mu.Lock()
		defer l.mu.Unlock()
		for id, n := range l.times {
			if n > 1 {
				t.Errorf("%s was acked and came again", id)
			}
		}
	})
}

// Two members of a group share; without a group, and on Redis pub/sub, all get all.
func TestMembersOfAGroupShare(t *testing.T) {
	onEachBus(t, func(t *testing.T, k kit) {
		logs := [3]*log{newLog(), newLog(), newLog()}
		for i, group := range []string{"service", "service", ""} {
			s := k.subscriber(group, subscriber.Config{})
			if want := group != "" && k.raw.Guarantees().Groups; s.Shared() != want {
				t.Errorf("group %q: Shared is %v", group, s.Shared())
			}
			k.run(s, func(_ context.Context, m *subscriber.Message) error {
				logs[i].add(m)
				return nil
			})
		}
		k.warm(logs[2])
		shares := k.raw.Guarantees().Groups
		if !shares {
			k.warm(logs[1])
			k.warm(logs[0])
		} else {
			until(t, "a member", func() bool {
				k.send("warm", 0)
				logs[0].mu.Lock()
				defer logs[0].mu.Unlock()
				logs[1].mu.Lock()
				defer logs[1].mu.Unlock()
				return len(logs[0].users["warm"])+len(logs[1].users["warm"]) > 0
			})
		}
		k.sendAll(0, each)
		const all = users * each
		want := all
		if !shares {
			want = 2 * all
		}
		until(t, "all messages", func() bool {
			return logs[0].count()+logs[1].count() >= want && logs[2].count() == all
		})
		if n := logs[0].count() + logs[1].count(); n != want {
			t.Errorf("the members got %d messages, want %d", n, want)
		}
		logs[2].ordered(t)
	})
}

// A message that always fails stops its user, and no other.
func TestAMessageThatFailsDelaysItsUserAlone(t *testing.T) {
	k := memoryKit(t)
	l := newLog()
	var attempts atomic.Int64
	fixed := make(chan struct{})
	s := k.subscriber("g", subscriber.Config{RetryMin: time.Millisecond, RetryMax: 2 * time.Millisecond, Concurrency: 2})
	k.run(s, func(_ context.Context, m *subscriber.Message) error {
		select {
		case <-fixed:
		default:
			if m.User == "user3" {
				attempts.Add(1)
				return &subscriber.RetryError{After: time.Millisecond}
			}
		}
		l.add(m)
		return nil
	})
	k.sendAll(0, each)
	until(t, "the others", func() bool { return l.count() == (users-1)*each && attempts.Load() > 5 })
	close(fixed)
	until(t, "all", func() bool { return l.count() == users*each })
	l.ordered(t)
}

// While a service does nothing, only so many messages are in its memory.
func TestMessagesInFlightAreBounded(t *testing.T) {
	onEachBus(t, func(t *testing.T, k kit) {
		s := k.subscriber("g", subscriber.Config{InFlight: 10, Concurrency: 3})
		var running, most atomic.Int64
		release := make(chan struct{})
		l := newLog()
		k.run(s, func(_ context.Context, m *subscriber.Message) error {
			if m.User == "warm" {
				l.add(m)
				return nil
			}
			most.Store(max(most.Load(), running.Add(1)))
			<-release
			running.Add(-1)
			l.add(m)
			return nil
		})
		k.warm(l)
		k.sendAll(0, each)
		until(t, "it is full", func() bool { return s.Stats().InFlight == 10 && running.Load() == 3 })
		close(release)
		until(t, "all", func() bool { return l.count() == users*each })
		l.ordered(t)
		if most.Load() > 3 {
			t.Errorf("%d handlers ran at once", most.Load())
		}
	})
}

func TestPoisonGoesToItsHook(t *testing.T) {
	k := memoryKit(t)
	var mu sync.Mutex
	var got []string
	s := k.subscriber("g", subscriber.Config{RetryMin: time.Millisecond, Poison: func(_ context.Context, p subscriber.Poison) error {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(p.Body))
		if len(got) == 1 {
			return errors.New("the place for poison is full")
		}
		if !errors.Is(p.Err, subscriber.ErrInvalid) || p.System != k.system.String() {
			t.Errorf("%+v", p)
		}
		return nil
	}})
	k.run(s, func(context.Context, *subscriber.Message) error { return nil })
	k.garbage("poison")
	until(t, "the hook is called again", func() bool { return s.Stats().Acked == 1 })
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 2 || got[0] != "poison" || got[1] != "poison" {
		t.Errorf("the hook got %q", got)
	}
}

func TestEventsComeWithWhatTheyAreAbout(t *testing.T) {
	k := memoryKit(t)
	s := k.subscriber("g", subscriber.Config{})
	events := make(chan *subscriber.Event, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_ = s.Events(ctx, func(_ context.Context, e *subscriber.Event) error { events <- e; return nil }, k.system.String())
	}()
	place := control.Place{System: k.system}
	room := control.Place{System: k.system, Room: "lobby"}
	for _, e := range []control.Event{
		{ID: "1", Type: control.Online, Place: place, User: "alice", Time: 1},
		{ID: "2", Type: control.Vacated, Place: room, Time: 2},
	} {
		c := cloudevent.FromControl(e)
		m := message.NewMessage(e.ID, cloudevent.Append(nil, &c))
		m.Metadata = message.Metadata{transport.RawKey: "1"}
		if err := k.raw.Publish(k.topics.Events(k.system), m); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]*subscriber.Event{}
	for range 2 {
		select {
		case e := <-events:
			got[e.ID] = e
		case <-time.After(10 * time.Second):
			t.Fatal("no event")
		}
	}
	one, two := got["1"], got["2"]
	if one == nil || one.User != "alice" || one.Room != "" || one.Type != "fanfare.user.online" || one.System != k.system.String() || one.Time.UnixMilli() != 1 {
		t.Errorf("%+v", one)
	}
	if two == nil || two.User != "" || two.Room != "lobby" || two.Subject != "lobby" {
		t.Fatalf("%+v", two)
	}
	want := fmt.Sprintf(`{"specversion":"1.0","id":"2","source":"/fanfare/%[1]s","type":"fanfare.room.vacated","subject":"lobby",`+
		`"time":"1970-01-01T00:00:00.002Z","datacontenttype":"application/json","data":{"system":"%[1]s","room":"lobby"}}`, k.system)
	if text := string(two.CloudEvent()); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	k := memoryKit(t)
	bus := k.open(transport.Config{})
	defer func() { _ = bus.Close() }()
	for _, group := range []string{"a b", strings.Repeat("a", 129), "ä", "a/b"} {
		if _, err := subscriber.NewOnBus(bus, group, subscriber.Config{}); !errors.Is(err, subscriber.ErrInvalid) {
			t.Errorf("group %q: %v", group, err)
		}
	}
	for _, cfg := range []subscriber.Config{{Topic: "x"}, {InFlight: -1}, {InFlight: 1e6}, {Concurrency: -1}, {RetryMin: -1}, {RetryMax: -1}} {
		if _, err := subscriber.NewOnBus(bus, "g", cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
	s := k.subscriber("g", subscriber.Config{})
	nothing := func(context.Context, *subscriber.Message) error { return nil }
	for _, systems := range [][]string{{}, {"NO"}, {"a", ""}} {
		if err := s.Inbound(t.Context(), nothing, systems...); !errors.Is(err, subscriber.ErrInvalid) {
			t.Errorf("%q: %v", systems, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Inbound(t.Context(), nothing, "a"); !errors.Is(err, subscriber.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	k := domain.Message{ID: "1", From: "alice", Session: "s", Time: time.Unix(1, 0)}
	_ = k.SetData(domain.Binary, []byte{0, 1})
	f.Add([]byte(`{"from":"a","data":1,"stamp":"0123456789abcdef:1"}`))
	f.Add([]byte(`{"from":"a","data":1,"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`))
	f.Add([]byte(`{"stamp":"0123456789abcdef:7","mark":true}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/fanfare/chat","type":"fanfare.user.online","data":{"system":"chat","user":"u"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if m, err := subscriber.DecodeMessage("chat", body); err == nil {
			again, err := subscriber.DecodeMessage("chat", m.JSON())
			if err != nil || string(again.Data) != string(m.Data) || again.User != m.User || again.Traceparent != m.Traceparent {
				t.Errorf("%s: %v", m.JSON(), err)
			}
		} else if !errors.Is(err, subscriber.ErrInvalid) {
			t.Errorf("%v is no ErrInvalid", err)
		}
		if e, err := subscriber.DecodeEvent("chat", body); err == nil && len(e.CloudEvent()) == 0 {
			t.Error("an event without a text")
		}
	})
}
