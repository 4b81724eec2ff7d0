package client_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/client"
)

// devNode returns a node for development, on a bus in memory.
func devNode(t *testing.T) *fanfare.Node {
	t.Helper()
	bus := memory.New(memory.Config{})
	g, err := fanfare.New(t.Context(), fanfare.Config{Dev: true, Drain: 1}, fanfare.WithDriver(bus.Driver()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := receive(t, ended, "the node's end"); err != nil {
			t.Error(err)
		}
		bus.Close()
	})
	return g
}

func TestNothingIsMissedBetweenConnectionsToARealNode(t *testing.T) {
	g := devNode(t)
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	greeted := make(chan *client.Hello, 100)
	n := &node{t: t, url: server.URL}
	real := func(c *client.Config) {
		c.Handler.Hello = func(_ context.Context, h *client.Hello) error { greeted <- h; return nil }
	}
	u := n.connect(real)
	if h := receive(t, greeted, "the hello"); h.User != "alice" || h.Systems["orders"].Cursor == "" || h.Systems["orders"].Resumed {
		t.Errorf("greeted with %+v", h)
	}
	publish := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			_, err := g.Publish(t.Context(), "orders", fanfare.Message{To: []string{"user:alice"}, ID: fmt.Sprint(i), Data: i})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	hear := func(u *user, from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			u.hears(fmt.Sprintf("message %d %d", i, i))
		}
	}
	publish(0, 50)
	hear(u, 0, 30)
	u.leaves() // some of the other messages are in its queue
	publish(50, 80)
	u.run()
	if h := receive(t, greeted, "the hello"); !h.Systems["orders"].Resumed {
		t.Errorf("greeted with %+v", h)
	}
	hear(u, 30, 80)
	u.leaves()

	// Another client continues from the cursors that this one has saved.
	publish(80, 100)
	again := n.connect(real, func(c *client.Config) { c.Resume = u.Cursors() })
	hear(again, 80, 100)
	if err := again.Join(t.Context(), "chat", "lobby", ""); err != nil {
		t.Error(err)
	}
	if _, err := again.Send(t.Context(), "chat", client.Sending{To: []string{"room:lobby"}, ID: "x", Data: []byte("bytes")}); err != nil {
		t.Error(err)
	}
	again.hears("message x bytes")
	again.leaves()
}
