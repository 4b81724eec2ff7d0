package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/client"
	"github.com/fanfarebus/fanfare/test/broker"
)

// All nodes are restarted one by one under 100 messages a second. Each client connects to
// another node before its own lets it go: it loses nothing, gets nothing twice and everything
// in order, is told no gap and is never without a session. How late messages were is in the
// log of the test.
func TestRollingRestartUnderLoad(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needs(t, "redis-server")
			c := newCluster(t, 3, broker.Redis(t).URL("redis-streams"), settings{"DRAIN": "5s"})
			c.behind(name)
			listeners := listen(t, c, 60)
			published := 0
			publish := func(when string, meanwhile func()) {
				published = publishSteadily(c, published, meanwhile)
				for _, l := range listeners {
					l.heardAll(t, published)
				}
				t.Logf("%s: %s", when, delays(listeners))
			}
			aSecond := func() { time.Sleep(time.Second) }
			publish("before", aSecond)
			publish("while nodes are restarted", c.roll)
			publish("after", aSecond)
			for _, l := range listeners {
				l.moved(t)
			}
		})
	}
}

// A listener is a client that hears everything.
type listener struct {
	user string

	mu      sync.Mutex
	heard   []int           // the messages' numbers; guarded by mu
	late    []time.Duration // since delays looked; guarded by mu
	gaps    int             // guarded by mu
	hellos  int             // guarded by mu
	losses  []error         // why it was without a session; guarded by mu
	more    chan struct{}   // has a value when something was heard
	greeted chan struct{}   // closed at the first hello
}

// A dated is the data of a message.
type dated struct {
	N  int
	At time.Time
}

// listen connects so many clients.
func listen(t *testing.T, c *cluster, count int) (all []*listener) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(stop)
	for i := range count {
		l := &listener{user: fmt.Sprint("u", i), more: make(chan struct{}, 1), greeted: make(chan struct{})}
		all = append(all, l)
		token := c.token(l.user, "orders")
		device, err := client.New(client.Config{
			URL: "http://" + c.front, Systems: []string{"orders"},
			Token:   func(context.Context) (string, error) { return token, nil },
			Handler: client.Handler{Message: l.message, Gap: l.gap, Hello: l.hello, Lost: l.lost},
		})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			if err := device.Run(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	for _, l := range all {
		select {
		case <-l.greeted:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s has got no hello", l.user)
		}
	}
	return all
}

func (l *listener) hello(context.Context, *client.Hello) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hellos++; l.hellos == 1 {
		close(l.greeted)
	}
	return nil
}

func (l *listener) lost(_ context.Context, lost *client.Lost) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.losses = append(l.losses, lost.Err)
	return nil
}

func (l *listener) message(_ context.Context, m *client.Message) error {
	var got dated
	if err := json.Unmarshal(m.Data, &got); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard, l.late = append(l.heard, got.N), append(l.late, time.Since(got.At))
	select {
	case l.more <- struct{}{}:
	default:
	}
	return nil
}

func (l *listener) gap(context.Context, *client.Gap) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gaps++
	return nil
}

// publishSteadily publishes 100 messages a second to everybody while meanwhile runs, with
// numbers from published+1 on, and returns the last number.
func publishSteadily(c *cluster, published int, meanwhile func()) (last int) {
	over := make(chan struct{})
	count := make(chan int)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := published; ; {
			select {
			case <-tick.C:
				n++
				c.publishDated(n)
			case <-over:
				count <- n
				return
			}
		}
	}()
	meanwhile()
	close(over)
	return <-count
}

// publishDated publishes until it was accepted, with the same id: a proxy may send the request
// to a node that just then closes the connection, and must not repeat it by itself. The note's
// time is that of the first try.
func (c *cluster) publishDated(n int) {
	data, err := json.Marshal(dated{n, time.Now()})
	if err != nil {
		panic(err) // it can always be written
	}
	body := fmt.Sprintf(`{"to":"*","id":"note-%d","data":%s}`, n, data)
	for range 200 {
		a, err := c.post("orders", body)
		if err == nil && a.status == http.StatusAccepted {
			return
		}
		c.t.Logf("note %d is published again: %d %v", n, a.status, err)
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Errorf("note %d was never accepted", n)
}

// heardAll waits until a listener has heard so many messages, and wants each once, in order.
func (l *listener) heardAll(t *testing.T, published int) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		l.mu.Lock()
		heard := slices.Clone(l.heard)
		gaps := l.gaps
		l.mu.Unlock()
		for i, n := range heard {
			if n != i+1 {
				t.Errorf("%s: message %d came as the %dth", l.user, n, i+1)
				return
			}
		}
		if gaps > 0 {
			t.Errorf("%s was told %d gaps", l.user, gaps)
		}
		if len(heard) == published {
			return
		}
		select {
		case <-l.more:
		case <-deadline:
			t.Errorf("%s has heard %d of %d", l.user, len(heard), published)
			return
		}
	}
}

// moved wants that the client has had another session, and was never without one.
func (l *listener) moved(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hellos < 2 {
		t.Errorf("%s has had %d sessions, although all nodes were restarted", l.user, l.hellos)
	}
	for _, err := range l.losses {
		t.Errorf("%s was without a session: %v", l.user, err)
	}
}

// delays says how late messages were since it was called last.
func delays(all []*listener) string {
	var late []time.Duration
	for _, l := range all {
		l.mu.Lock()
		late = append(late, l.late...)
		l.late = nil
		l.mu.Unlock()
	}
	if len(late) == 0 {
		return "nothing was delivered"
	}
	slices.Sort(late)
	at := func(q float64) time.Duration { return late[int(q*float64(len(late)-1))].Round(time.Microsecond) }
	return fmt.Sprintf("%d deliveries; from publish to handler: p50 %v, p99 %v, p99.9 %v, max %v",
		len(late), at(0.5), at(0.99), at(0.999), at(1))
}
