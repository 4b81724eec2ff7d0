package e2e_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/broker"
)

// lacking matches what a process logs if it lacks a right.
var lacking = regexp.MustCompile(`NOPERM|NOAUTH|WRONGPASS|failed|interrupted|nobody hears|is not known`)

// Nodes, publishers, a bridge and a move work with exactly the rights that
// docs/operating.md lists for their users.
func TestEverythingRunsWithTheDocumentedRights(t *testing.T) {
	needs(t, "redis-server")
	for _, bus := range []struct{ scheme, node, publisher string }{
		{"redis-streams", "node", "publisher"},
		{"redis", "channels-node", "channels-publisher"},
	} {
		t.Run(bus.scheme, func(t *testing.T) {
			r := broker.Redis(t)
			r.SetUser(bus.node)
			r.SetUser(bus.publisher)
			rawURL := func(user string) string { return fmt.Sprintf("%s://%s:secret@%s/0", bus.scheme, user, r.Addr()) }
			c := newCluster(t, 2, rawURL(bus.node), settings{"DEDUPE_AGE": "1s"})
			publish := func(n int) {
				t.Helper()
				body := fmt.Sprintf(`{"to":"user:alice","data":%d}`, n)
				if a, err := c.post("orders", body); err != nil || a.status != http.StatusAccepted {
					t.Fatalf("%v: %+v", err, a)
				}
				cmd := exec.Command(fanfareBinary, "publish", "--transport", rawURL(bus.publisher),
					"--system", "orders", "--to", "user:alice", "--data", fmt.Sprint(n+1))
				cmd.Env = environ(nil)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			hears := func(v *visitor, numbers ...int) (cursor string) {
				t.Helper()
				for _, n := range numbers {
					m, err := v.next("message")
					if err != nil {
						t.Fatalf("waiting for %d: %v", n, err)
					}
					if string(m.Data) != fmt.Sprint(n) {
						t.Fatalf("got %s, want %d", m.Data, n)
					}
					cursor = m.Cursor
				}
				return cursor
			}
			first := visit(t, c, 0, "")
			if _, err := first.next("hello"); err != nil {
				t.Fatal(err)
			}
			publish(1)
			cursor := hears(first, 1, 2)
			publish(3)
			if bus.scheme == "redis-streams" { // a node that was not there reads the log
				c.nodes[1].end()
				c.restart(c.nodes[1])
				hears(visit(t, c, 1, cursor), 3, 4)
			}
			hears(first, 3, 4)
			time.Sleep(3 * time.Second) // so that quiet connections are asked for a sign of life
			for _, n := range c.nodes {
				if up, deaf := n.metric("fanfare_bus_up"), n.metric("fanfare_bus_lagging_subscriptions"); up != 1 || deaf != 0 {
					t.Errorf("%s: up %v, behind %v", n.name, up, deaf)
				}
				if lacking.MatchString(n.log.String()) {
					t.Errorf("%s complains", n.name)
				}
			}
		})
	}
}

func TestAMoveRunsWithTheDocumentedRights(t *testing.T) {
	needs(t, "redis-server")
	old, next := broker.Redis(t), broker.Redis(t)
	for _, r := range []*broker.RedisServer{old, next} {
		for _, user := range []string{"reader", "mover", "publisher"} {
			r.SetUser(user)
		}
	}
	as := func(user string, r *broker.RedisServer) string {
		return fmt.Sprintf("redis-streams://%s:secret@%s/0", user, r.Addr())
	}
	for _, system := range []string{"orders", "chat"} {
		cmd := exec.Command(fanfareBinary, "publish", "--transport", as("publisher", old), "--system", system, "--to", "*", "--data", "1")
		cmd.Env = environ(nil)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	bridge := startBridge(t, as("reader", old), as("mover", next))
	moveTo(t, as("mover", old), as("reader", next))
	bridge.terminate()
	if code := bridge.exit(20 * time.Second); code != 0 {
		t.Errorf("the bridge ended with %d", code)
	}
	if lacking.MatchString(bridge.log.String()) {
		t.Errorf("the bridge complains: %s", bridge.log)
	}
}
