package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/client"
	"github.com/fanfarebus/fanfare/test/broker"
)

// Nodes are restarted one by one under load. Clients connect to another node before the
// old one lets them go: nothing is lost, comes twice or in another order, and nobody is
// without a session. How long messages took is in the log.
func TestRollingRestartIsSeenByNoClient(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t)
	c := newCluster(t, 3, r.URL("redis-streams"), settings{"DRAIN": "3s"})
	c.withNginx()
	m := startAudience(t, c, 60)
	publish := func(count int, done <-chan struct{}) {
		if err := m.publish(count, done); err != nil {
			t.Error(err)
		}
	}
	publish(100, nil)
	m.allHeard()
	before := m.delays()
	rolled, published := make(chan struct{}), make(chan struct{})
	go func() { defer close(published); publish(100_000, rolled) }()
	c.roll()
	close(rolled)
	<-published
	publish(100, nil)
	m.allHeard()
	during := m.delays()
	m.stop()
	t.Logf("delay of %d messages before: p50 %v, p99 %v; of %d during the restarts and after: p50 %v, p99 %v, most %v",
		len(before), at(before, 50), at(before, 99), len(during), at(during, 50), at(during, 99), at(during, 100))
	if m.moves() < 60 {
		t.Errorf("the clients had %d sessions after their first; want more than there are clients", m.moves())
	}
}

// An audience are clients that are told one message after the other, in turns.
type audience struct {
	t   *testing.T
	c   *cluster
	end context.CancelFunc
	all sync.WaitGroup

	mu        sync.Mutex
	published int             // guarded by mu
	sent      []time.Time     // by the number of the message; guarded by mu
	heard     []int           // messages, by the number of the client; guarded by mu
	hellos    []int           // by the number of the client; guarded by mu
	took      []time.Duration // since delays was called; guarded by mu
}

func startAudience(t *testing.T, c *cluster, count int) *audience {
	ctx, end := context.WithCancel(t.Context())
	m := &audience{t: t, c: c, end: end, heard: make([]int, count), hellos: make([]int, count)}
	t.Cleanup(m.stop)
	for i := range count {
		token := c.token(fmt.Sprintf("m%d", i), "orders")
		u, err := client.New(client.Config{
			URL: "http://" + c.front, Systems: []string{"orders"},
			Token: func(context.Context) (string, error) { return token, nil },
			Handler: client.Handler{
				Hello:   func(context.Context, *client.Hello) error { m.hello(i); return nil },
				Message: func(_ context.Context, msg *client.Message) error { return m.take(i, msg) },
				Gap:     func(_ context.Context, g *client.Gap) error { return fmt.Errorf("a gap: %s", g.Reason) },
				Lost:    func(_ context.Context, l *client.Lost) error { return fmt.Errorf("was without a session: %w", l.Err) },
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		m.all.Go(func() {
			if err := u.Run(ctx); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	eventually(t, 20*time.Second, "all clients are there", func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if i := slices.Index(m.hellos, 0); i >= 0 {
			return fmt.Errorf("client %d is not", i)
		}
		return nil
	})
	return m
}

func (m *audience) stop() { m.end(); m.all.Wait() }

func (m *audience) hello(i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hellos[i]++
}

// take judges a message of client i, whose messages are i, i+count, i+2·count, …
func (m *audience) take(i int, msg *client.Message) error {
	var number int
	if err := json.Unmarshal(msg.Data, &number); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if want := i + len(m.heard)*m.heard[i]; number != want {
		return fmt.Errorf("got message %d; want %d", number, want)
	}
	m.heard[i]++
	m.took = append(m.took, time.Since(m.sent[number]))
	return nil
}

// publish publishes so many messages, 100 a second, or until done is closed.
func (m *audience) publish(count int, done <-chan struct{}) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range count {
		select {
		case <-tick.C:
		case <-done:
			return nil
		}
		m.mu.Lock()
		number := m.published
		m.published, m.sent = number+1, append(m.sent, time.Now())
		m.mu.Unlock()
		body := fmt.Sprintf(`{"to":"user:m%d","id":"m%d","data":%d}`, number%len(m.heard), number, number)
		if a, err := m.c.post("orders", body); err != nil || a.status != 202 {
			return fmt.Errorf("publishing message %d: %d %s %w", number, a.status, a.body, err)
		}
	}
	return nil
}

// allHeard waits until all messages have come.
func (m *audience) allHeard() {
	m.t.Helper()
	eventually(m.t, 20*time.Second, "all messages have come", func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		total := 0
		for _, n := range m.heard {
			total += n
		}
		if total < m.published {
			return fmt.Errorf("%d of %d", total, m.published)
		}
		return nil
	})
}

// delays returns how long the messages took that have come since the last call, sorted.
func (m *audience) delays() []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	took := m.took
	m.took = nil
	slices.Sort(took)
	return took
}

// moves returns how many sessions there were after the first one of each client.
func (m *audience) moves() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, hellos := range m.hellos {
		n += hellos - 1
	}
	return n
}

// at returns a percentile of what is sorted.
func at(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)].Round(100 * time.Microsecond)
}
