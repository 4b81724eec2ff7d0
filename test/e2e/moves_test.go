package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/test/broker"
)

// On a bus without a log a client goes on on another node, if that has heard
// what the first one had for as long as it remembers ids.
func TestPubSubResumesOnAnotherNode(t *testing.T) {
	needs(t, "redis-server")
	r := broker.Redis(t)
	c := newCluster(t, 2, r.URL("redis"), settings{"DEDUPE_AGE": "1s"})
	n := 0
	publish := func(via int) {
		t.Helper()
		n++
		a, err := c.postTo(c.nodes[via].addr, "orders", fmt.Sprintf(`{"to":"user:alice","data":%d}`, n))
		if err != nil || a.status != http.StatusAccepted {
			t.Fatalf("publish: %+v, %v", a, err)
		}
	}
	// Which of the nodes publishes is all the same: each numbers its own.
	round := func(from, to int) error {
		a := visit(t, c, from, "")
		defer a.Close()
		if _, err := a.next("hello"); err != nil {
			return err
		}
		publish(0)
		publish(1)
		if _, err := a.next("message"); err != nil {
			return err
		}
		seen, err := a.next("message")
		if err != nil {
			return err
		}
		a.Close()
		publish(1)
		publish(0)
		b := visit(t, c, to, seen.Cursor)
		defer b.Close()
		for want := n - 1; want <= n; want++ {
			m, err := b.next("message")
			if err != nil {
				return err
			}
			if string(m.Data) != fmt.Sprint(want) {
				t.Fatalf("after %s came %s, want %d", seen.Data, m.Data, want)
			}
		}
		return nil
	}
	for _, way := range [][2]int{{0, 1}, {1, 0}} {
		eventually(t, 30*time.Second, fmt.Sprintf("a client goes from node %d to %d", way[0], way[1]), func() error {
			return round(way[0], way[1])
		})
	}
	// A node that has just begun proves nothing, and says so. (However long this
	// takes: what it published before it ended, the other one has heard.)
	c.nodes[1].kill()
	c.restart(c.nodes[1])
	c.nodes[1].waitReady()
	if err := round(0, 1); err == nil || !strings.Contains(err.Error(), "lossy") {
		t.Errorf("on a node that has just begun: %v", err)
	}
}

// A visitor is alice on one node.
type visitor struct {
	*websocket.Conn
	lines [][]byte
}

func visit(t *testing.T, c *cluster, node int, since string) *visitor {
	t.Helper()
	query := "/ws?systems=orders"
	if since != "" {
		query += "&resume=orders:" + since
	}
	d := websocket.Dialer{Subprotocols: []string{"fanfare.v1.json"}}
	conn, _, err := d.Dial("ws://"+c.nodes[node].addr+query, http.Header{"Authorization": {"Bearer " + c.token("alice", "orders")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	return &visitor{Conn: conn}
}

// next returns the next op of that name; a gap before it is an error, unless
// that is what is waited for.
func (v *visitor) next(name string) (op, error) {
	for {
		for len(v.lines) == 0 {
			_, frame, err := v.ReadMessage()
			if err != nil {
				return op{}, err
			}
			v.lines = bytes.Split(frame, []byte("\n"))
		}
		o, err := readOp(v.lines[0])
		v.lines = v.lines[1:]
		switch {
		case err != nil:
			return op{}, err
		case o.Op == name:
			return o, nil
		case o.Op == "gap":
			return op{}, fmt.Errorf("a gap: %s", o.Reason)
		}
	}
}
