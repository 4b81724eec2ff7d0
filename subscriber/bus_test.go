package subscriber_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/subscriber"
	"github.com/fanfarebus/fanfare/test/broker"
)

func TestMain(m *testing.M) {
	code := m.Run()
	broker.StopSharedKafka()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// A kit is one bus with a publisher, as a node is one.
type kit struct {
	t      *testing.T
	open   func(cfg transport.Config) *transport.Transport
	out    *transport.EnvelopePublisher
	raw    *transport.Transport
	topics domain.Topics
	system domain.System
}

// onEachBus runs a test on all buses that are installed.
func onEachBus(t *testing.T, test func(t *testing.T, k kit)) {
	openURL := func(url string) func(t *testing.T, cfg transport.Config) *transport.Transport {
		return func(t *testing.T, cfg transport.Config) *transport.Transport {
			bus, err := fanfare.Openers().Open(t.Context(), url, cfg)
			if err != nil {
				t.Fatal(err)
			}
			return bus
		}
	}
	for name, url := range map[string]func(t *testing.T) string{
		"redis": func(t *testing.T) string { return "redis://" + broker.Redis(t).Addr() + "/0" },
		"redis-streams": func(t *testing.T) string {
			return "redis-streams://" + broker.Redis(t).Addr() + "/0"
		},
		"nats":      func(t *testing.T) string { return broker.NATS(t).URL("nats") },
		"jetstream": func(t *testing.T) string { return broker.NATS(t).URL("jetstream") },
		"kafka":     func(t *testing.T) string { return broker.KafkaURL(t) },
		"kfake": func(t *testing.T) string {
			c, err := kfake.NewCluster(kfake.NumBrokers(1))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			return "kafka://" + c.ListenAddrs()[0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			open := openURL(url(t))
			test(t, newKit(t, func(cfg transport.Config) *transport.Transport { return open(t, cfg) }))
		})
	}
	t.Run("memory", func(t *testing.T) { test(t, memoryKit(t)) })
}

func newKit(t *testing.T, open func(cfg transport.Config) *transport.Transport) kit {
	k := kit{t: t, open: open}
	var err error
	if k.topics, err = domain.ParseTopics("fanfare.{system}"); err != nil {
		t.Fatal(err)
	}
	if k.system, err = domain.ParseSystem("chat-" + strconv.FormatInt(time.Now().UnixNano(), 36)); err != nil {
		t.Fatal(err)
	}
	k.raw = open(transport.Config{PublishTimeout: 10 * time.Second})
	t.Cleanup(func() { _ = k.raw.Close() })
	k.out = transport.NewEnvelopePublisher(k.raw, k.topics, 0)
	return k
}

// subscriber returns a member of a group on a connection of its own.
func (k kit) subscriber(group string, cfg subscriber.Config) *subscriber.Subscriber {
	k.t.Helper()
	bus := k.open(transport.Config{Logger: slog.New(slog.NewTextHandler(k.t.Output(), nil))})
	s, err := subscriber.NewOnBus(bus, group, cfg)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = errors.Join(s.Close(), bus.Close()) })
	return s
}

// send puts the nth message of a user on the inbound topic.
func (k kit) send(user string, n int) {
	k.t.Helper()
	m := &domain.Message{ID: fmt.Sprint(user, "-", n), From: user, Type: "said", Time: time.Now()}
	if err := m.SetData(domain.JSON, fmt.Append(nil, n)); err != nil {
		k.t.Fatal(err)
	}
	if err := k.out.Inbound(context.Background(), k.system, m, "session-"+user); err != nil {
		k.t.Fatal(err)
	}
}

// garbage puts something on the inbound topic that is no message.
func (k kit) garbage(body string) {
	k.t.Helper()
	m := message.NewMessage(domain.NewID(), []byte(body))
	m.Metadata = message.Metadata{transport.RawKey: "1"}
	if err := k.raw.Publish(k.topics.Inbound(k.system), m); err != nil {
		k.t.Fatal(err)
	}
}

// run receives in the background until stop is called.
func (k kit) run(
	s *subscriber.Subscriber, handle func(context.Context, *subscriber.Message) error,
) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Inbound(ctx, handle, k.system.String()) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				k.t.Errorf("Inbound: %v", err)
			}
		})
	}
	k.t.Cleanup(stop)
	return stop
}

// A log notes what handlers have received.
type log struct {
	mu    sync.Mutex
	users map[string][]int
	times map[string]int
}

func newLog() *log { return &log{users: map[string][]int{}, times: map[string]int{}} }

func (l *log) add(m *subscriber.Message) {
	n, _ := strconv.Atoi(string(m.Data))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.times[m.ID]++; l.times[m.ID] == 1 {
		l.users[m.User] = append(l.users[m.User], n)
	}
}

func (l *log) count() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for user, all := range l.users {
		if user != "warm" {
			n += len(all)
		}
	}
	return n
}

// ordered fails the test unless each user's messages are 0, 1, 2 … in this order.
func (l *log) ordered(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for user, all := range l.users {
		for i, n := range all {
			if user != "warm" && n != i {
				t.Errorf("%s: message %d came as number %d: %v", user, n, i, all)
				break
			}
		}
	}
}

// until polls.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(40 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("it did not happen in time: %s", what)
		}
	}
}

// warm sends until something arrives: a bus without a log brings nothing before.
func (k kit) warm(l *log) {
	k.t.Helper()
	until(k.t, "the first message", func() bool {
		k.send("warm", 0)
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.users["warm"]) > 0
	})
}
