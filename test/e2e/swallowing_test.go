package e2e_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/broker"
)

// noticed is how long a node may take to notice that a connection to Redis
// swallows what is sent. It includes a second because the machine may be busy.
const noticed = 7 * time.Second

// A connection to Redis swallows everything and stays open, as happens when a
// firewall has forgotten it. The node notices by itself, reports it, and
// reconnects. With a log its session misses nothing. Without one it is told a gap.
func TestSwallowingConnectionIsNoticed(t *testing.T) {
	needs(t, "redis-server")
	for _, test := range []struct {
		name, scheme string
		reads        string // what the connection sends that brings the messages
		keeps        bool
	}{
		{"streams", "redis-streams", "XREAD", true},
		{"pub-sub", "redis", "SUBSCRIBE", false},
	} {
		t.Run(test.name+"/all connections", func(t *testing.T) {
			b := behindProxy(t, test.scheme)
			b.swallows(b.proxy.Swallow, "bus down", func() error {
				if err := b.reads(http.StatusOK, `"bus":"down"`); err != nil {
					return err
				}
				return b.busUp(0)
			})
			b.tells("bus", func(o op) bool { return !*o.Up })
			b.heals()
			b.goesOn(test.keeps)
		})
		t.Run(test.name+"/the one that reads", func(t *testing.T) {
			b := behindProxy(t, test.scheme)
			swallow := func() {
				b.proxy.SwallowWho(test.reads)
				if a, err := b.c.post("chat", `{"to":"user:nobody","data":1}`); err != nil || a.status != http.StatusAccepted {
					t.Fatalf("publish: %+v, %v", a, err) // on a log a system is only known to be deaf when something came
				}
			}
			b.swallows(swallow, "deaf", func() error { return b.reads(http.StatusServiceUnavailable, `"status":"deaf"`) })
			if err := b.busUp(1); err != nil { // its pings are answered
				t.Error(err)
			}
			b.heals()
			b.goesOn(test.keeps)
		})
	}
}

// A nodeBehindProxy has alice, and a proxy between it and Redis; a second node
// has none, and publishes.
type nodeBehindProxy struct {
	*testing.T
	c         *cluster
	proxy     *broker.Proxy
	alice     *visitor
	published int
}

func behindProxy(t *testing.T, scheme string) *nodeBehindProxy {
	r := broker.Redis(t)
	proxy := broker.NewProxy(t, r.Addr())
	c := newCluster(t, 1, proxy.URL(scheme), nil)
	c.env["TRANSPORT"] = r.URL(scheme)
	publisher := c.startNode("n2")
	publisher.waitReady()
	c.front = publisher.addr
	b := &nodeBehindProxy{T: t, c: c, proxy: proxy, alice: visit(t, c, 0, "")}
	b.tells("hello", func(op) bool { return true })
	b.publish(1)
	b.hears(1)
	return b
}

func (b *nodeBehindProxy) publish(n int) {
	b.Helper()
	for range n {
		b.published++
		a, err := b.c.post("orders", fmt.Sprintf(`{"to":"user:alice","data":%d}`, b.published))
		if err != nil || a.status != http.StatusAccepted {
			b.Fatalf("publish: %+v, %v", a, err)
		}
	}
}

// swallows lets the connection swallow, publishes meanwhile, and waits until
// the node says so.
func (b *nodeBehindProxy) swallows(begin func(), what string, says func() error) {
	b.Helper()
	begun := time.Now()
	begin()
	b.publish(3)
	eventually(b.T, noticed-time.Since(begun), "it says "+what, says)
	b.Logf("%s after %v", what, time.Since(begun).Round(10*time.Millisecond))
}

// heals lets new connections pass, and waits until the node has one.
func (b *nodeBehindProxy) heals() {
	b.Helper()
	b.proxy.Pass()
	eventually(b.T, 20*time.Second, "it is ready again", func() error {
		if err := b.busUp(1); err != nil {
			return err
		}
		return b.reads(http.StatusOK, `"bus":"up"`)
	})
}

// goesOn checks what alice receives: everything, or a gap and what follows it.
func (b *nodeBehindProxy) goesOn(keeps bool) {
	b.Helper()
	if !keeps {
		b.tells("gap", func(o op) bool { return o.Reason == "lossy" })
		b.publish(2) // behind another gap, where the publisher's numbers show the hole
		b.tells("gap", func(o op) bool { return o.Reason == "lossy" })
		b.hears(b.published-1, b.published)
		return
	}
	b.publish(2)
	for n := 2; n <= b.published; n++ {
		b.hears(n)
	}
}

func (b *nodeBehindProxy) hears(numbers ...int) {
	b.Helper()
	for _, n := range numbers {
		b.tells("message", func(o op) bool { return string(o.Data) == strconv.Itoa(n) })
	}
}

// tells waits for alice's next op of that name.
func (b *nodeBehindProxy) tells(name string, right func(op) bool) {
	b.Helper()
	o, err := b.alice.next(name)
	if err != nil {
		b.Fatalf("alice waits for %s: %v", name, err)
	}
	if !right(o) {
		b.Fatalf("alice is told %+v", o)
	}
}

func (b *nodeBehindProxy) reads(status int, contains string) error {
	got, body, err := get("http://" + b.c.nodes[0].addr + "/readyz")
	if err == nil && (got != status || !strings.Contains(body, contains)) {
		err = fmt.Errorf("readyz: %d %s", got, body)
	}
	return err
}

func (b *nodeBehindProxy) busUp(want float64) error {
	if up := b.c.nodes[0].metric("fanfare_bus_up"); up != want {
		return fmt.Errorf("fanfare_bus_up is %v", up)
	}
	return nil
}
