package cluster_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/cluster"
)

// A failing is a stand-in for a test that fails. It records the failure.
type failing struct {
	*testing.T
	failed bool
	said   strings.Builder
}

func (f *failing) Failed() bool                    { return f.failed }
func (f *failing) Logf(format string, args ...any) { fmt.Fprintf(&f.said, format+"\n", args...) }

func (f *failing) Fatalf(format string, args ...any) {
	f.failed = true
	f.Logf(format, args...)
	runtime.Goexit()
}

// failure runs a test that must fail, and returns what it says. It runs in a bubble,
// so that waits which must time out take no real time.
func failure(t *testing.T, test func(t cluster.T)) string {
	t.Helper()
	f := &failing{}
	synctest.Test(t, func(t *testing.T) {
		f.T = t
		ended := make(chan struct{})
		go func() { defer close(ended); test(f) }()
		<-ended
	})
	if !f.failed {
		t.Error("it did not fail")
	}
	return f.said.String()
}

func TestFailureSaysWhatCameInstead(t *testing.T) {
	for name, c := range map[string]struct {
		test func(c *cluster.Cluster, alice *cluster.Client)
		says []string
	}{
		"another message": {func(c *cluster.Cluster, alice *cluster.Client) {
			c.Publish("orders", order(1))
			alice.Want(fanfare.Message{ID: "x", Type: "order.sent", To: []string{"*"}, ContentType: "text/plain",
				Headers: map[string]string{"lang": "de"}, Data: map[string]int{"order": 2}})
		}, []string{
			`wanted message order.sent {"order":2} (id x) to *`, `but it heard  message in orders: order.paid {"order":1} (id `,
			`id: want x, got `, `type: want order.sent, got order.paid`, `to: want [*], got user:alice`, `header lang: want de, got `,
			`content type: want text/plain, got application/json`, `data: want {"order":2}, got {"order":1}`,
			`what happened to alice:`, `alice        is connected to n0`, `alice        hears message in orders: order.paid`,
		}},
		"almost the same number": {func(c *cluster.Cluster, alice *cluster.Client) {
			c.Publish("orders", order(9007199254740993))
			alice.Want(order(9007199254740992))
		}, []string{`data: want {"order":9007199254740992}, got {"order":9007199254740993}`}},
		"nothing": {func(c *cluster.Cluster, alice *cluster.Client) {
			alice.Want(order(1))
		}, []string{`wanted message order.paid {"order":1} to user:alice, but nothing came in 10s`}},
		"something": {func(c *cluster.Cluster, alice *cluster.Client) {
			c.Publish("orders", order(1))
			alice.WantNothing()
		}, []string{`wanted nothing more in orders, but it heard message in orders: order.paid {"order":1}`}},
		"the second of two": {func(c *cluster.Cluster, alice *cluster.Client) {
			c.Publish("orders", order(1))
			alice.Want(order(1), order(2))
		}, []string{`wanted message order.paid {"order":2} to user:alice (number 2 of 2), but nothing came`}},
		"a message for a gap": {func(c *cluster.Cluster, alice *cluster.Client) {
			c.Publish("orders", order(1))
			alice.WantGap("lossy", "trimmed")
		}, []string{"wanted a gap: lossy or trimmed", "but it heard message in orders"}},
		"a gap for a message": {func(c *cluster.Cluster, alice *cluster.Client) {
			c.Forget()
			alice.Next()
		}, []string{"wanted a message, but it heard a gap in orders: unknown_cursor", `n0           level=WARN msg="messages may be lost`}},
		"a gap among messages": {func(c *cluster.Cluster, alice *cluster.Client) {
			c.Forget()
			alice.Want(order(1))
		}, []string{`wanted message order.paid {"order":1} to user:alice`, "but it heard a gap in orders: unknown_cursor"}},
		"too few": {func(c *cluster.Cluster, alice *cluster.Client) {
			c.Publish("orders", order(1))
			alice.WaitFor(2)
		}, []string{"waited for 2 messages, 1 came"}},
		"a state that does not come": {func(c *cluster.Cluster, alice *cluster.Client) {
			c.Node(0).WaitFor(cluster.Deaf) // nothing keeps it from hearing
		}, []string{"waited 10s until of n0 it is deaf; it is ready, its bus up"}},
		"a system that is not the client's": {func(c *cluster.Cluster, alice *cluster.Client) {
			alice.In("chat")
		}, []string{`alice is not in system "chat", only in orders`}},
		"a drop on a log": {func(c *cluster.Cluster, alice *cluster.Client) {
			c.Drop("orders", 1)
		}, []string{"a bus with a log drops nothing: Start with Lossy"}},
	} {
		t.Run(name, func(t *testing.T) {
			said := failure(t, func(t cluster.T) {
				k := cluster.Start(t, 1)
				c.test(k, k.Client("alice", "orders"))
			})
			for _, text := range c.says {
				if !strings.Contains(said, text) {
					t.Errorf("it does not say %q, but:\n%s", text, said)
				}
			}
		})
	}
}

func TestClientThatIsRefusedSaysWhy(t *testing.T) {
	for _, p := range []cluster.Protocol{cluster.V1, cluster.SSE, cluster.Plain} {
		said := failure(t, func(t cluster.T) {
			c := cluster.Start(t, 1, cluster.Configure(func(cfg *fanfare.Config) { cfg.Systems = []string{"orders"} }))
			c.Connect(cluster.ClientConfig{User: "alice", Systems: []string{"chat"}, Protocol: p})
		})
		if !strings.Contains(said, "alice: waited for it to be connected: it gave up: ") || !strings.Contains(said, "the node answered 404") {
			t.Error(said)
		}
	}
}

func TestFailureAmongManyTellsOfAll(t *testing.T) {
	said := failure(t, func(t cluster.T) {
		c := cluster.Start(t, 2)
		alice := c.Client("alice", "orders")
		c.Client("bob", "orders")
		alice.Next()
	})
	own, all, _ := strings.Cut(said, "what happened in the cluster:")
	if strings.Contains(own, "bob") || !strings.Contains(all, "bob          is connected") {
		t.Error(said)
	}
}

func TestPatienceIsHowLongAWaitInVainTakes(t *testing.T) {
	said := failure(t, func(t cluster.T) {
		c := cluster.Start(t, 1, cluster.Patience(time.Minute))
		c.Client("alice", "orders").Next()
	})
	if !strings.Contains(said, "wanted a message, but nothing came in 1m0s") {
		t.Error(said)
	}
}
