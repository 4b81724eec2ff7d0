package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/test/broker"
)

// A client that begins at the cursor of a publish receives exactly what came after it,
// from whatever node: also if the node has to read the log for that.
func TestAClientBeginsWhereAPublishEnded(t *testing.T) {
	needs(t, "redis-server")
	buses := append(controlBuses[:len(controlBuses):len(controlBuses)], struct {
		name      string
		log, long bool
		url       func(t *testing.T) string
	}{"redis-cluster", true, false, func(t *testing.T) string { return broker.NewRedisCluster(t, 3).URL("redis-streams") }})
	for _, bus := range buses {
		t.Run(bus.name, func(t *testing.T) {
			c := newCluster(t, 2, bus.url(t), settings{"WINDOW_MESSAGES": "20"})
			if !bus.log {
				if a := c.publishes(t, 0, 1, 1); a.Cursor != "" || strings.Contains(a.body, "cursor") {
					t.Errorf("on a bus without a log: %s", a.body)
				}
				return
			}
			beginsWherePublished(t, c)
		})
	}
}

func beginsWherePublished(t *testing.T, c *cluster) {
	c.publishes(t, 0, 1, 1)
	one := c.publishes(t, 0, 2, 2)
	batch := c.publishes(t, 1, 3, 7)
	last := c.publishes(t, 0, 8, 8)
	for _, a := range []answer{one, batch, last} {
		if a.Cursor == "" {
			t.Fatalf("no cursor: %s", a.body)
		}
	}
	check := func(since string, first, last int) {
		t.Helper()
		for node := range c.nodes {
			v := visit(t, c, node, since)
			hello, err := v.next("hello")
			if err != nil || !hello.Systems["orders"].Resumed {
				t.Fatalf("node %d: %+v, %v", node, hello, err)
			}
			for n := first; n <= last; n++ {
				m, err := v.next("message")
				if err != nil || string(m.Data) != fmt.Sprint(n) {
					t.Fatalf("node %d: after the cursor of %d comes %s, %v; want %d", node, first-1, m.Data, err, n)
				}
			}
			v.Close()
		}
	}
	check(one.Cursor, 3, 8)
	check(batch.Cursor, 8, 8)
	now := visit(t, c, 1, last.Cursor)
	defer now.Close()
	c.publishes(t, 0, 9, 60) // which is more than the windows hold
	if m, err := now.next("message"); err != nil || string(m.Data) != "9" {
		t.Errorf("after the cursor of the newest message comes %s, %v", m.Data, err)
	}
	check(one.Cursor, 3, 60)
	check(last.Cursor, 9, 60)
}

// publishes publishes the numbers from first to last for alice, as one request to a node.
func (c *cluster) publishes(t *testing.T, node, first, last int) answer {
	t.Helper()
	var all []string
	for n := first; n <= last; n++ {
		all = append(all, fmt.Sprintf(`{"to":"user:alice","data":%d}`, n))
	}
	body := strings.Join(all, ",")
	if len(all) > 1 {
		body = "[" + body + "]"
	}
	a, err := c.postTo(c.nodes[node].addr, "orders", body)
	if err != nil || a.status != http.StatusAccepted {
		t.Fatalf("publish: %+v, %v", a, err)
	}
	return a
}
