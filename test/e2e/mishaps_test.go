package e2e_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/test/broker"
)

// What docs/moving.md says about a move in which something fails: one after the
// other, the new bus is gone between the mark and its copy, a publisher that has
// not moved sends what is too large for the new bus, and the old bus drops
// entries before they were copied. Alice hears everything else once, and is told
// a gap in the place of the rest.
func TestMoveMeetsTrouble(t *testing.T) {
	needs(t, "redis-server")
	r, to := broker.Redis(t), broker.NATS(t)
	from, next := r.URL("redis-streams"), to.URL("jetstream")
	c := newCluster(t, 1, from+" "+next, nil)
	n := c.nodes[0]
	bridge := startBridge(t, from, next)
	alice := visit(t, c, 0, "")
	published := 0
	add := func(data string) {
		t.Helper()
		err := r.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: "fanfare.orders", Values: []string{"to", "user:alice", "data", data}}).Err()
		if err != nil {
			t.Fatal(err)
		}
	}
	publish := func() { t.Helper(); published++; add(strconv.Itoa(published)) }
	hear := func() {
		t.Helper()
		if m, err := alice.next("message"); err != nil || string(m.Data) != strconv.Itoa(published) {
			t.Fatalf("alice waits for number %d: %s, %v", published, m.Data, err)
		}
	}
	gap := func() {
		t.Helper()
		if _, err := alice.next("gap"); err != nil {
			t.Fatalf("alice waits for a gap: %v", err)
		}
	}
	publish()
	hear()

	t.Log("the new bus is gone between the mark and its copy")
	eventually(t, 10*time.Second, "the bridge has copied it", func() error { return holds(t, to.URL("nats"), 1) })
	must(t, bridge.cmd.Process.Signal(syscall.SIGSTOP))
	// `fanfare move` puts no mark while the bridge does not answer: as if it had just
	// put it when the bridge was stopped.
	mark := []string{"_watermill_message_uuid", "mark", "metadata", "\x81\xacfanfare.move\xa5leave", "payload", ""}
	must(t, r.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: "fanfare.orders", Values: mark}).Err())
	cmd := exec.Command(fanfareBinary, "move", "--from", from, "--to", next, "--systems", "orders", "--wait", "60s")
	cmd.Env = environ(nil)
	move := start(t, "fanfare move", cmd)
	to.Kill()
	must(t, bridge.cmd.Process.Signal(syscall.SIGCONT))
	a, err := c.post("orders", `{"id":"again","to":"user:alice","data":2}`)
	if err != nil || a.status != http.StatusServiceUnavailable || a.ID != "again" {
		t.Errorf("publishing while neither bus counts: %+v, %v", a, err)
	}
	eventually(t, 20*time.Second, "the node says that it cannot go on", func() error {
		status, body, err := get("http://" + n.addr + "/readyz")
		if err == nil && !strings.Contains(body, `"bus":"down"`) {
			err = fmt.Errorf("%d %s", status, body)
		}
		return err
	})
	to.Restart()
	eventually(t, 30*time.Second, "the node arrives", func() error {
		if got := n.metric("fanfare_bus_moved_systems"); got != 1 {
			return fmt.Errorf("%v systems have", got)
		}
		return nil
	})
	if code := move.exit(20 * time.Second); code != 0 || !strings.Contains(move.log.String(), "orders: the new bus has taken over") {
		t.Errorf("fanfare move ended with %d, and said %s", code, move.log)
	}
	published++
	eventually(t, 10*time.Second, "it can be published again", func() error {
		a, err := c.post("orders", `{"id":"again","to":"user:alice","data":2}`)
		if err == nil && a.status != http.StatusAccepted {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	hear()
	publish() // on the old bus
	hear()

	t.Log("a message is too large for the new bus")
	add(`"` + strings.Repeat("x", 2<<20) + `"`)
	gap()
	publish()
	hear()

	t.Log("the old bus drops entries before they were copied")
	bridge.kill()
	for range 20 {
		publish()
	}
	must(t, r.Client().XTrimMaxLen(t.Context(), "fanfare.orders", 1).Err())
	startBridge(t, from, next)
	gap()
	hear()
	publish()
	hear()
}

// holds says whether the stream of orders has that many entries.
func holds(t *testing.T, url string, want uint64) error {
	t.Helper()
	conn, err := nats.Connect(url)
	must(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	must(t, err)
	stream, err := js.Stream(t.Context(), "fanfare_orders")
	if err == nil && stream.CachedInfo().State.Msgs != want {
		err = fmt.Errorf("it holds %d", stream.CachedInfo().State.Msgs)
	}
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
