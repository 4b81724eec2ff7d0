package transport_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

func TestRunTellsOfEachChange(t *testing.T) {
	for _, first := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var up atomic.Bool
			up.Store(first)
			driver := &fakeDriver{ping: func(ctx context.Context) error {
				if !up.Load() {
					<-ctx.Done() // a broker that does not answer
					return ctx.Err()
				}
				return nil
			}}
			bus := transport.New(driver, transport.Config{})
			defer mustClose(t, bus)
			if !bus.Up() {
				t.Error("down before anybody looked")
			}
			ctx, cancel := context.WithCancel(t.Context())
			news := make(chan bool, 10)
			ended := make(chan error)
			go func() { ended <- bus.Run(ctx, func(up bool) { news <- up }) }()
			for _, now := range []bool{first, !first, first} {
				up.Store(now)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if len(news) != 1 || <-news != now || bus.Up() != now {
					t.Errorf("want to hear once that up is %v", now)
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if len(news) != 0 {
				t.Error("the end of Run is no news of the bus")
			}
		})
	}
}

// One answer that comes late is no news: a program that is told that the bus is
// down may act on it.
func TestOneLateAnswerIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		driver := &fakeDriver{ping: func(ctx context.Context) error {
			if asked++; asked%3 == 0 {
				<-ctx.Done()
			}
			return ctx.Err()
		}}
		bus := transport.New(driver, transport.Config{})
		defer mustClose(t, bus)
		ctx, cancel := context.WithCancel(t.Context())
		var news []bool
		ended := make(chan error)
		go func() { ended <- bus.Run(ctx, func(up bool) { news = append(news, up) }) }()
		time.Sleep(time.Minute)
		cancel()
		<-ended
		if len(news) != 1 || !news[0] {
			t.Errorf("heard %v, want that it is up, once", news)
		}
	})
}

func TestCloseEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := transport.New(&fakeDriver{}, transport.Config{})
		ended := make(chan error)
		go func() { ended <- bus.Run(t.Context(), func(bool) {}) }()
		synctest.Wait()
		mustClose(t, bus)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A topic is trimmed while somebody follows it, once for all who do.
func TestTopicsAreTrimmedWhileFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		trims := make(map[string]int)
		driver := &fakeDriver{
			guarantees: logged,
			follow: func(context.Context, string, domain.Position) (transport.Feed, error) {
				return feed(1, position(0)), nil
			},
			trim: func(_ context.Context, topic string) error {
				mu.Lock()
				defer mu.Unlock()
				trims[topic]++
				return errNet // and goes on
			},
		}
		count := func(topic string, over time.Duration) int {
			mu.Lock()
			before := trims[topic]
			mu.Unlock()
			time.Sleep(over)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return trims[topic] - before
		}
		bus := transport.New(driver, transport.Config{TrimEvery: time.Minute})
		defer mustClose(t, bus)
		var stop []context.CancelFunc
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			stop = append(stop, cancel)
			if _, err := bus.Subscribe(ctx, topic); err != nil {
				t.Fatal(err)
			}
		}
		if n := count(topic, time.Hour); n < 60 || n > 120 {
			t.Errorf("three followers: %d trims in an hour", n)
		}
		stop[0]()
		stop[1]()
		if n := count(topic, time.Hour); n < 60 || n > 120 {
			t.Errorf("one follower: %d trims in an hour", n)
		}
		stop[2]()
		synctest.Wait()
		if n := count(topic, time.Hour); n != 0 {
			t.Errorf("nobody follows: %d trims", n)
		}
		if _, err := bus.Subscribe(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
		if n := count(topic, time.Hour); n < 60 || n > 120 {
			t.Errorf("followed again: %d trims in an hour", n)
		}
		if n := count("other", 0); n != 0 {
			t.Errorf("a topic that nobody followed was trimmed %d times", n)
		}
	})
}

// A groupDriver has groups; each is a fakeMember.
type groupDriver struct {
	*fakeDriver
	group func(name string) (message.Subscriber, error)
}

func (d groupDriver) Group(name string) (message.Subscriber, error) { return d.group(name) }

type fakeMember struct {
	err      error
	closed   int
	messages chan *message.Message
}

func (m *fakeMember) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	return m.messages, m.err
}

func (m *fakeMember) Close() error {
	m.closed++
	return m.err
}

func TestGroupNeedsADriverWithGroups(t *testing.T) {
	bus := transport.New(&fakeDriver{}, transport.Config{})
	defer mustClose(t, bus)
	if _, err := bus.Group("workers"); !errors.Is(err, domain.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

func TestGroupMembersAreClosedOnce(t *testing.T) {
	var members []*fakeMember
	driver := groupDriver{&fakeDriver{}, func(string) (message.Subscriber, error) {
		members = append(members, &fakeMember{})
		return members[len(members)-1], nil
	}}
	bus := transport.New(driver, transport.Config{})
	early, err := bus.Group("workers")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Group("workers"); err != nil {
		t.Fatal(err)
	}
	if _, err := early.Subscribe(t.Context(), ""); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("no topic: %v", err)
	}
	if err := early.Close(); err != nil {
		t.Error(err)
	}
	mustClose(t, bus)
	if err := early.Close(); err != nil {
		t.Error(err)
	}
	if members[0].closed != 1 || members[1].closed != 1 {
		t.Errorf("closed %d and %d times", members[0].closed, members[1].closed)
	}
	if _, err := bus.Group("workers"); !errors.Is(err, domain.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// What publishers on a bus without a log say now and then is nothing for services.
func TestGroupMembersGetNoHighWaterMarks(t *testing.T) {
	in := make(chan *message.Message)
	driver := groupDriver{&fakeDriver{}, func(string) (message.Subscriber, error) {
		return &fakeMember{messages: in}, nil
	}}
	bus := transport.New(driver, transport.Config{})
	defer mustClose(t, bus)
	member, err := bus.Group("workers")
	if err != nil {
		t.Fatal(err)
	}
	out, err := member.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	mark := message.NewMessage("m", []byte(`{"stamp":"0123456789abcdef:7","mark":true}`))
	in <- mark
	said := message.NewMessage("1", []byte(`{"stamp":"0123456789abcdef:8","from":"alice"}`))
	in <- said
	select {
	case got := <-out:
		if got != said {
			t.Errorf("got %s", got.Payload)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing came")
	}
	select {
	case <-mark.Acked():
	default:
		t.Error("a mark was not acked")
	}
	over, end := context.WithCancel(t.Context())
	left := message.NewMessageWithContext(over, "2", []byte(`{}`))
	in <- left // nobody takes it
	end()
	close(in)
	for range out {
	}
}

func TestGroupFailures(t *testing.T) {
	member := &fakeMember{err: errNet}
	fail := true
	driver := groupDriver{&fakeDriver{}, func(string) (message.Subscriber, error) {
		if fail {
			return nil, errNet
		}
		return member, nil
	}}
	bus := transport.New(driver, transport.Config{})
	if _, err := bus.Group("workers"); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("Group: %v", err)
	}
	fail = false
	sub, err := bus.Group("workers")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Subscribe(t.Context(), topic); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("Subscribe: %v", err)
	}
	if err := bus.Close(); !errors.Is(err, errNet) {
		t.Errorf("Close: %v", err)
	}
	if driver.closed != 1 {
		t.Error("a member that fails to close keeps the driver open")
	}
}
