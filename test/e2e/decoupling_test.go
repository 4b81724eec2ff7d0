package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/broker"
)

// When a node dies only its connections are lost. Publishers do not notice, and its
// clients resume on other nodes.
func TestKilledNodeLosesOnlyItsConnections(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t)
	c := newCluster(t, 3, r.URL("redis-streams"), nil)
	c.withNginx()
	k := startClients(c)
	openSome(k, 60)

	s := startStream(c, "user:u%d")
	s.waitFor(100)
	dead := c.nodes[1]
	held := dead.metric("fanfare_sessions")
	dead.kill()
	s.waitFor(300)
	letters := s.stop(t, k)

	moved := 0
	err := k.each(func(s *session) error {
		if slices.Contains(s.nodes, dead.name) {
			moved++
			if last := s.nodes[len(s.nodes)-1]; last == dead.name {
				return fmt.Errorf("its last node is the dead one: %v", s.nodes)
			}
		} else if len(s.nodes) != 1 {
			return fmt.Errorf("it was on %v, which live on", s.nodes)
		}
		if s.gaps() > 0 {
			return fmt.Errorf("was told %+v", s.ops)
		}
		return judge(s, letters)
	})
	if err != nil {
		t.Error(err)
	}
	if moved == 0 || moved != int(held) {
		t.Errorf("%d sessions have moved, the dead node held %v", moved, held)
	}
	if err := inOneOrder(k.sorted()); err != nil {
		t.Error(err)
	}
}

// On SIGTERM a node tells its sessions to go, spread over time, and they resume on
// other nodes. The node exits with 0, and the sessions of the others do not notice.
func TestDrainMovesSessions(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t)
	c := newCluster(t, 2, r.URL("redis-streams"), settings{"DRAIN": "2s"})
	c.withNginx()
	k := startClients(c)
	openSome(k, 60)

	s := startStream(c, "user:u%d")
	s.waitFor(50)
	going := c.nodes[0]
	going.terminate()
	eventually(t, 5*time.Second, "a draining node is not ready", func() error {
		status, body, err := get("http://" + going.addr + "/readyz")
		if err == nil && (status != http.StatusServiceUnavailable || !strings.Contains(body, "draining")) {
			err = fmt.Errorf("%d %s", status, body)
		}
		return err
	})
	if code := going.exit(15 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.waitFor(250)
	letters := s.stop(t, k)

	delays := make(map[int]bool)
	moved := 0
	err := k.each(func(s *session) error {
		if err := judge(s, letters); err != nil {
			return err
		}
		if s.nodes[0] != going.name {
			if len(s.nodes) != 1 || len(s.told()) > 0 {
				return fmt.Errorf("it was on the other node, but moved over %v and was told %+v", s.nodes, s.told())
			}
			return nil
		}
		moved++
		if last := s.nodes[len(s.nodes)-1]; last == going.name {
			return fmt.Errorf("its last node is the one that went: %v", s.nodes)
		}
		told := s.told()
		if len(told) != 1 || told[0].Op != "goaway" || told[0].RetryMS == nil {
			return fmt.Errorf("was told %+v, want one goaway", told)
		}
		delays[*told[0].RetryMS] = true
		if s.closes[0].Code != 1001 {
			return fmt.Errorf("was closed with %d, want 1001", s.closes[0].Code)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if moved < 10 || len(delays) < moved/2 {
		t.Errorf("%d sessions have moved, with %d different delays", moved, len(delays))
	}
}

// When Redis dies and comes back no session drops, publishers are told within a
// second, and delivery continues by itself.
func TestRedisRestarts(t *testing.T) {
	for _, test := range []struct {
		name, scheme string
		args         []string
		keeps        bool // what Redis acknowledged survives
	}{
		{"streams on disk", "redis-streams", []string{"--appendonly", "yes", "--appendfsync", "always"}, true},
		{"streams in memory", "redis-streams", nil, false},
		{"pub/sub", "redis", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			needs(t, "redis-server")
			r := broker.Redis(t, test.args...)
			c := newCluster(t, 3, r.URL(test.scheme), nil)
			c.withNginx()
			k := startClients(c)
			openSome(k, 40)
			busRestarts(t, r, c, k, test.keeps)
		})
	}
}

// The same holds for Kafka, which is slower to come back.
func TestKafkaRestarts(t *testing.T) {
	s := broker.Kafka(t)
	c := newCluster(t, 3, s.URL(), nil)
	c.withNginx()
	k := startClients(c)
	openSome(k, 40)
	busRestarts(t, s, c, k, true)
}

// The same holds for NATS, and what a stream has taken survives.
func TestNATSRestarts(t *testing.T) {
	for scheme, keeps := range map[string]bool{"jetstream": true, "nats": false} {
		t.Run(scheme, func(t *testing.T) {
			s := broker.NATS(t)
			c := newCluster(t, 3, s.URL(scheme), nil)
			c.withNginx()
			k := startClients(c)
			openSome(k, 40)
			busRestarts(t, s, c, k, keeps)
		})
	}
}

// A server can be killed, and started again.
type server interface {
	Kill()
	Restart()
}

func busRestarts(t *testing.T, r server, c *cluster, k *clients, keeps bool) {
	s := startStream(c, "user:u%d")
	s.waitFor(60)
	r.Kill()
	allAreTold(t, k, false)
	publishersAreTold(t, c)
	for _, n := range c.nodes {
		readyWithout(t, n)
	}
	newcomer := k.open("newcomer", "u1", false)
	eventually(t, 10*time.Second, "a new session is accepted", func() error {
		k.mu.Lock()
		defer k.mu.Unlock()
		if len(newcomer.nodes) == 0 {
			return fmt.Errorf("no hello yet: %v", newcomer.refusals)
		}
		return nil
	})
	r.Restart()
	allAreTold(t, k, true)
	if !keeps {
		// Without what Redis had, a subscription cannot resume. It begins anew, a
		// little after the bus is back, and receives nothing until then.
		eventually(t, 20*time.Second, "every session is told a gap", func() error {
			return k.each(func(s *session) error {
				if s.gaps() == 0 {
					return fmt.Errorf("was told %+v", s.ops)
				}
				return nil
			})
		})
	}
	s.waitFor(s.sent() + 100)
	letters := s.stop(t, k)

	err := k.each(func(s *session) error {
		if s.opens != 1 {
			return fmt.Errorf("it has had %d connections", s.opens)
		}
		switch {
		case keeps && s.gaps() > 0:
			return fmt.Errorf("was told %d gaps, though the bus has lost nothing", s.gaps())
		case keeps && s != newcomer:
			return judge(s, letters)
		}
		return judgeWhatCame(s, letters)
	})
	if err != nil {
		t.Error(err)
	}
}

// A Redis that hangs takes what it is sent but does not answer, so publishers
// repeat messages that may have arrived. Sessions still receive them once.
func TestHangingRedisLosesAndRepeatsNothing(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t)
	c := newCluster(t, 2, r.URL("redis-streams"), nil)
	c.withNginx()
	k := startClients(c)
	openSome(k, 40)

	s := startStream(c, "user:u%d")
	s.waitFor(60)
	r.Freeze()
	allAreTold(t, k, false)
	publishersAreTold(t, c)
	r.Thaw()
	allAreTold(t, k, true)
	s.waitFor(s.sent() + 100)
	letters := s.stop(t, k)

	err := k.each(func(s *session) error {
		if s.opens != 1 || s.gaps() > 0 {
			return fmt.Errorf("%d connections, was told %+v", s.opens, s.ops)
		}
		return judge(s, letters)
	})
	if err != nil {
		t.Error(err)
	}
	if repeated := c.metric(`fanfare_duplicates_total{system="orders"}`); repeated == 0 {
		t.Error("nothing was repeated on the bus: the test shows nothing")
	}
}

// judgeWhatCame does what judge does, for a session that may have missed messages.
func judgeWhatCame(s *session, letters map[label]*letter) error {
	got := make(map[label]*letter)
	for _, m := range s.messages {
		if l := letters[m.label]; l != nil {
			got[m.label] = l
		}
	}
	return judge(s, got)
}

func allAreTold(t *testing.T, k *clients, up bool) {
	t.Helper()
	eventually(t, 20*time.Second, fmt.Sprintf("every session is told that the bus is up: %v", up), func() error {
		return k.each(func(s *session) error {
			for _, o := range slices.Backward(s.ops) {
				if o.Op == "bus" && o.Up != nil && *o.Up == up {
					return nil
				}
			}
			return fmt.Errorf("was told %+v", s.ops)
		})
	})
}

// publishersAreTold checks the answer to a publish while the bus is down, and that
// it comes within a second. The fastest of a few counts, since the machine may be
// busy.
func publishersAreTold(t *testing.T, c *cluster) {
	t.Helper()
	best := time.Hour
	for range 5 {
		begun := time.Now()
		a, err := c.post("orders", `{"to":"user:nobody","data":1,"id":"lost-1"}`)
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(begun))
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.ID != "lost-1" ||
			a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("publishing while the bus is down: %d, %v, %s", a.status, a.header, a.body)
		}
	}
	if best > time.Second {
		t.Errorf("publishing while the bus is down took %v at best", best)
	}
	if a, err := c.post("orders", `{"to":"user:nobody","data":1}`); err != nil || a.status != http.StatusServiceUnavailable || a.ID == "" {
		t.Errorf("an answer of 503 names the id to retry with: %d %s %v", a.status, a.body, err)
	}
}

func readyWithout(t *testing.T, n *node) {
	t.Helper()
	status, body, err := get("http://" + n.addr + "/readyz")
	if err != nil || status != http.StatusOK || !strings.Contains(body, `"bus":"down"`) {
		t.Errorf("readyz of %s while the bus is down: %d %s %v", n.name, status, body, err)
	}
	if status, _, err := get("http://" + n.addr + "/readyz?bus=required"); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("readyz?bus=required of %s while the bus is down: %d %v", n.name, status, err)
	}
	if up := n.metric("fanfare_bus_up"); up != 0 {
		t.Errorf("fanfare_bus_up of %s is %v while the bus is down", n.name, up)
	}
}

// openSome opens a session for each user, which reconnects by itself. There is
// no plain one: those cannot resume.
func openSome(k *clients, users int) {
	k.t.Helper()
	for u := range users {
		k.open(fmt.Sprintf("u%d", u), fmt.Sprintf("u%d", u), false)
	}
	k.attached()
}
