package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Nodes are restarted one by one while more and more clients connect. Every client
// gets a session on some node at once, and restarted nodes get their share again.
func TestRollingRestartRefusesNobody(t *testing.T) {
	for _, name := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refusesNobody(t, name)
		})
	}
}

func refusesNobody(t *testing.T, name string) {
	c := newCluster(t, 3, "memory://", nil)
	c.behind(name)
	ctx, end := context.WithCancel(t.Context())
	var arriving sync.WaitGroup
	defer arriving.Wait()
	defer end()
	for i := range 4 {
		arriving.Go(func() { arrive(t, ctx, c, i) })
	}
	for range 2 {
		c.roll()
	}
	for _, n := range c.nodes {
		before := n.metric("fanfare_sessions")
		eventually(t, 10*time.Second, n.name+" takes its share", func() error {
			if more := n.metric("fanfare_sessions") - before; more < 20 {
				return fmt.Errorf("%v sessions more", more)
			}
			return nil
		})
	}
}

// arrive opens one session after the other, and lets them be.
func arrive(t *testing.T, ctx context.Context, c *cluster, who int) {
	for n := 0; ctx.Err() == nil; n++ {
		token := c.token(fmt.Sprintf("u%d-%d", who, n), "orders")
		conn, answer, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+c.front+"/ws?systems=orders", http.Header{"Authorization": {"Bearer " + token}})
		switch {
		case err == nil:
			t.Cleanup(func() { conn.Close() })
		case ctx.Err() == nil && answer != nil:
			t.Errorf("refused: %s", answer.Status)
			return
		case ctx.Err() == nil:
			t.Error(err)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// roll restarts the nodes one by one, as a deployment does.
func (c *cluster) roll() {
	c.t.Helper()
	for _, n := range c.nodes {
		n.end()
		c.restart(n)
	}
}
