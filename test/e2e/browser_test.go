package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/broker"
)

// A page in a browser is connected through nginx while one fault follows another.
// With a log the page receives every number once and in order, over WebSocket and
// over EventSource. With pub/sub it is told a gap wherever numbers are missing.
func TestBrowserIsToldOfEverythingItMisses(t *testing.T) {
	t.Run("redis-streams", func(t *testing.T) {
		needs(t, "redis-server")
		p := newPage(t, "ws", "sse")
		r := broker.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
		sent := troubles(t, p, r, "redis-streams")
		_ = p.each(func(d *device) error {
			if err := exactlyOnce(d.events, sent); err != nil {
				t.Errorf("%s: of %d numbers: %v; at the end it was told %s", d.way, sent, err, d.tail())
			}
			return nil
		})
	})
	t.Run("redis", func(t *testing.T) {
		needs(t, "redis-server")
		p := newPage(t, "ws", "sse")
		sent := troubles(t, p, broker.Redis(t), "redis")
		_ = p.each(func(d *device) error {
			lost, err := noSilentLoss(d.events, sent)
			if err != nil {
				t.Errorf("of %d numbers: %v; at the end it was told %s", sent, err, d.tail())
			}
			t.Logf("%d of %d numbers were lost", lost, sent)
			return nil
		})
	})
}

// troubles publishes 200 numbers a second for the page's user while one thing
// after the other fails, and returns how many were accepted. Then the page has
// the last one.
func troubles(t *testing.T, p *page, r *broker.RedisServer, scheme string) (sent int) {
	c := newCluster(t, 3, r.URL(scheme), settings{"ORIGINS": p.origin(), "AUTH_QUERY_TOKEN": "true"})
	c.withNginx()
	network := broker.NewProxy(t, c.front)
	p.open(network.Addr(), c.token("alice", "orders"))
	p.eventually(30*time.Second, "the page is connected", opened(nil))
	begun := time.Now()
	s := startPaced(c, 5*time.Millisecond, func(int) *letter { return &letter{to: []string{"user:alice"}} })
	s.waitFor(200)
	p.reach(100)

	for _, way := range p.config.Ways {
		losesItsNode(t, p, c, way)
		p.reach(s.sent())
	}
	losesItsNetwork(t, p, network, s)
	p.reach(s.sent())
	losesRedis(t, p, r, s, scheme == "redis")
	p.reach(s.sent())
	losesAllNodesInTurn(t, p, c, s)
	p.reach(s.sent())

	s.waitFor(s.sent() + 100)
	s.end()
	sent = s.sent()
	p.reach(sent)
	p.hasNoFaults()
	t.Logf("%d numbers in %v, %d refusals, connections %v", sent, time.Since(begun).Round(time.Second), s.refused.Load(), p.opens())
	return sent
}

// opened checks that clients have had more connections than before.
func opened(before map[string]int) func(*device) error {
	return func(d *device) error {
		if d.opens <= before[d.way] {
			return fmt.Errorf("it has had %d connections; at the end it was told %s", d.opens, d.tail())
		}
		return nil
	}
}

// losesItsNode kills the node that a client is on.
func losesItsNode(t *testing.T, p *page, c *cluster, way string) {
	t.Helper()
	var name string
	_ = p.each(func(d *device) error {
		if d.way == way {
			name = d.node
		}
		return nil
	})
	for _, n := range c.nodes {
		if n.name != name {
			continue
		}
		n.kill()
		p.eventually(30*time.Second, "the page is on another node than "+name, func(d *device) error {
			if d.node == name {
				return fmt.Errorf("it was told %s", d.tail())
			}
			return nil
		})
		c.restart(n)
		return
	}
	t.Fatalf("%s: there is no node %q", way, name)
}

// losesItsNetwork cuts the page off for a while, in which others go on.
func losesItsNetwork(t *testing.T, p *page, network *broker.Proxy, s *letterStream) {
	t.Helper()
	const away = 20 * time.Second
	before, sent := p.opens(), s.sent()
	network.Cut()
	<-time.After(away)
	missed := s.sent() - sent
	err := p.each(func(d *device) error {
		if d.opens != before[d.way] || d.last >= s.sent() {
			return fmt.Errorf("has had %d connections and number %d", d.opens, d.last)
		}
		return nil
	})
	if err != nil || missed < 100 {
		t.Errorf("without a network: %d numbers were published, %v", missed, err)
	}
	network.Mend()
	p.wake()
	p.eventually(30*time.Second, "the page is back", opened(before))
}

// losesRedis kills Redis and starts it again. The page stays connected.
func losesRedis(t *testing.T, p *page, r *broker.RedisServer, s *letterStream, lossy bool) {
	t.Helper()
	before, refused := p.opens(), s.refused.Load()
	gaps := make(map[string]int)
	_ = p.each(func(d *device) error { gaps[d.way] = d.gaps(); return nil })
	r.Kill()
	p.eventually(20*time.Second, "the page is told that the bus is down", busIs(false))
	eventually(t, 20*time.Second, "publishing is refused", func() error {
		if s.refused.Load() == refused {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	r.Restart()
	p.eventually(20*time.Second, "the page is told that the bus is up", busIs(true))
	p.eventually(20*time.Second, "where a log is missing there is a gap", func(d *device) error {
		if lossy && d.gaps() == gaps[d.way] {
			return fmt.Errorf("it was told %s", d.tail())
		}
		return nil
	})
	if after := p.opens(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the page has lost its connections, not only the bus: %v, then %v", before, after)
	}
}

func (d *device) gaps() (n int) {
	for _, e := range d.events {
		if e.Kind == "gap" {
			n++
		}
	}
	return n
}

func busIs(up bool) func(*device) error {
	return func(d *device) error {
		if d.up != up {
			return fmt.Errorf("it was told %s", d.tail())
		}
		return nil
	}
}

// losesAllNodesInTurn restarts one node after the other, as a deployment does.
func losesAllNodesInTurn(t *testing.T, p *page, c *cluster, s *letterStream) {
	t.Helper()
	before := p.opens()
	for _, n := range c.nodes {
		n.terminate()
		if code := n.exit(20 * time.Second); code != 0 {
			t.Errorf("node %s: exit code %d after SIGTERM", n.name, code)
		}
		c.restart(n)
		s.waitFor(s.sent() + 50)
	}
	// After so many short connections the clients take their time.
	p.wake()
	p.eventually(45*time.Second, "the page has moved", opened(before))
}
