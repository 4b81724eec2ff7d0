package e2e_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/test/broker"
)

const (
	movers        = 200                    // clients
	moverServices = 5                      // publishers of each kind
	moverPace     = 20 * time.Millisecond  // of each: 500 messages a second in all
	moverCut      = 150 * time.Millisecond // between two connections that are cut
)

// The bus is moved again and again while it is used, as docs/moving.md says: no
// message is lost, none comes twice, all come in one order, no connection is
// dropped by the move, and no client is told a gap, though clients come and go.
func TestMovedLive(t *testing.T) {
	needs(t, "redis-server")
	redis := broker.Redis(t)
	buses := []string{
		fmt.Sprintf("redis-streams://%s/0", redis.Addr()), broker.NATS(t).URL("jetstream"), broker.Kafka(t).URL(),
		fmt.Sprintf("redis-streams://%s/1", redis.Addr()),
	}

	c := newCluster(t, 3, buses[0], nil)
	c.withNginx()
	crowd := startCrowd(c)
	services := startServices(c, buses[0])
	for i, to := range buses[1:] {
		from := buses[i]
		t.Logf("moving from %s to %s", from, to)
		time.Sleep(2 * time.Second) // of service on the old bus

		bridge := startBridge(t, from, to)
		c.env["TRANSPORT"] = from + " " + to
		c.roll()
		bridge.kill() // nothing is lost by that
		bridge = startBridge(t, from, to)
		crowd.settled()
		before := crowd.dropped.Load()
		moveTo(t, from, to)
		eventually(t, 20*time.Second, "every node has arrived", func() error {
			for _, n := range c.nodes {
				if got := n.metric("fanfare_bus_moved_systems"); got != 2 {
					return fmt.Errorf("%s: %v systems have", n.name, got)
				}
			}
			return nil
		})
		time.Sleep(time.Second)
		if dropped := crowd.dropped.Load() - before; dropped != 0 {
			t.Errorf("the move has dropped %d connections", dropped)
		}
		services.follow(to)
		time.Sleep(time.Second)
		c.env["TRANSPORT"] = to
		c.roll()
		bridge.terminate()
		if code := bridge.exit(20 * time.Second); code != 0 {
			t.Errorf("the bridge ended with %d", code)
		}
	}
	letters := services.stop()
	crowd.finish(letters)

	t.Logf("%d messages, %d connections cut, %d drained", len(letters), crowd.cuts.Load(), crowd.dropped.Load())
	for _, s := range crowd.sessions {
		if len(s.told()) > 0 {
			t.Errorf("%s was told %+v", s.name, s.told())
		}
		if err := judge(s, letters); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
	if err := inOneOrder(crowd.sessions); err != nil {
		t.Error(err)
	}
}

func startBridge(t *testing.T, from, to string) *process {
	t.Helper()
	cmd := exec.Command(fanfareBinary, "bridge", "--from", from, "--to", to, "--systems", "orders,chat")
	cmd.Env = environ(nil)
	b := start(t, "bridge", cmd)
	eventually(t, 20*time.Second, "the bridge copies both systems", func() error {
		if log := b.log.String(); strings.Count(log, "msg=copying topic=") < 2 {
			return fmt.Errorf("it says %s", log)
		}
		return nil
	})
	return b
}

func moveTo(t *testing.T, from, to string) {
	t.Helper()
	cmd := exec.Command(fanfareBinary, "move", "--from", from, "--to", to, "--systems", "orders,chat", "--wait", "30s")
	cmd.Env = environ(nil)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("fanfare move: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// `fanfare move` without a bridge does nothing, for no system that it names, be it
// one that nothing was published to, or one whose bridge has died; nodes and
// publishers go on as before. And if there is a mark all the same, the node says
// so of that one system, and serves the others.
func TestMoveNeedsALivingBridge(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t)
	from, to := fmt.Sprintf("redis-streams://%s/0", r.Addr()), fmt.Sprintf("redis-streams://%s/1", r.Addr())
	c := newCluster(t, 1, from+" "+to, settings{"SYSTEMS": "orders,chat,quiet"})
	n := c.nodes[0]
	status := func(path string) (int, string) {
		t.Helper()
		status, body, err := get("http://" + n.addr + path)
		must(t, err)
		return status, body
	}
	publishes := func(system string, want int) {
		t.Helper()
		if a, err := c.post(system, `{"to":"user:alice","data":1}`); err != nil || a.status != want {
			t.Errorf("publishing to %s: %+v, %v; want %d", system, a, err, want)
		}
	}
	moves := func(systems string) {
		t.Helper()
		cmd := exec.Command(fanfareBinary, "move", "--from", from, "--to", to, "--systems", systems, "--wait", "2s")
		cmd.Env = environ(nil)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "no bridge is seen") || strings.Contains(string(out), "taken over") {
			t.Errorf("fanfare move --systems %s: %v, %s", systems, err, out)
		}
		for _, system := range strings.Split(systems, ",") {
			publishes(system, 202)
		}
		if status, body := status("/readyz?system=*"); status != 200 {
			t.Errorf("then /readyz?system=* is %d %s", status, body)
		}
	}
	moves("quiet")
	bridge := startBridge(t, from, to) // of orders and chat
	publishes("orders", 202)
	moves("orders,quiet")
	bridge.kill()
	moves("orders")

	mark := []string{"_watermill_message_uuid", "mark", "metadata", "\x81\xacfanfare.move\xa5leave", "payload", ""}
	must(t, r.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: "fanfare.quiet", Values: mark}).Err())
	eventually(t, 20*time.Second, "the node says that it hears no more of quiet", func() error {
		status, body := status("/readyz")
		if status != 200 || !strings.Contains(body, `"status":"ready"`) || !strings.Contains(body, `"deaf":["quiet"]`) {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	if got := n.metric(`fanfare_deaf{system="quiet"}`); got != 1 {
		t.Errorf("fanfare_deaf is %v", got)
	}
	for path, want := range map[string]int{"/readyz?system=quiet": 503, "/readyz?system=orders": 200, "/readyz?system=*": 503} {
		if status, body := status(path); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, body, want)
		}
	}
	publishes("orders", 202)
	publishes("quiet", 503)
}
