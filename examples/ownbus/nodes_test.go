package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/broker"
)

// deliver checks that a session on one node receives what another node publishes.
// When RabbitMQ loses a message because the session's node is cut off, the session
// is told a gap, although watermill-amqp reports no interruption.
func deliver(t *testing.T, server *broker.RabbitServer) {
	proxy := broker.NewProxy(t, server.Addr())
	one, two := start(t, server.Addr()), start(t, proxy.Addr())
	web := httptest.NewServer(two)
	defer web.Close()
	alice := listen(t, web.URL)
	want(t, alice, "hello")
	publish(t, one, 1)
	want(t, alice, "message 1")

	proxy.Cut()
	publish(t, one, 2)
	proxy.Mend()
	// The first message is always lost. How many more are lost until the node is
	// back is a matter of chance.
	n, told := 2, ""
	for told == "" && n < 100 {
		n++
		publish(t, one, n)
		told = next(alice, 200*time.Millisecond)
	}
	if told != "gap lossy" {
		t.Fatalf("after %d messages the session was told %q, want a gap", n, told)
	}
	publish(t, one, n+1)
	for told != fmt.Sprint("message ", n+1) {
		if told = next(alice, 20*time.Second); told == "message 2" || told == "" {
			t.Fatalf("the session was told %q", told)
		}
	}
}

func start(t *testing.T, addr string) *fanfare.Node {
	t.Helper()
	node, err := newNode(t.Context(), connect(t, addr), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return node
}

func publish(t *testing.T, node *fanfare.Node, n int) {
	t.Helper()
	if _, err := node.Publish(t.Context(), "orders", fanfare.Message{To: []string{"user:alice"}, Data: n}); err != nil {
		t.Fatal(err)
	}
}

// listen connects as alice, and returns what she is told.
func listen(t *testing.T, url string) <-chan string {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"fanfare.v1.json"}}
	conn, _, err := d.Dial("ws"+strings.TrimPrefix(url, "http")+"/ws?systems=orders&user=alice", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	told := make(chan string, 1000)
	go func() {
		for {
			_, frame, err := conn.ReadMessage()
			if err != nil {
				return
			}
			for _, line := range strings.Split(string(frame), "\n") {
				record(told, line)
			}
		}
	}()
	return told
}

func record(told chan<- string, line string) {
	var op struct {
		Op, Reason string
		Data       json.RawMessage
	}
	if err := json.Unmarshal([]byte(line), &op); err != nil {
		told <- err.Error()
	}
	switch op.Op {
	case "message":
		told <- "message " + string(op.Data)
	case "gap":
		told <- "gap " + op.Reason
	case "hello":
		told <- "hello"
	}
}

// next returns what alice is told next, or "" if that takes too long.
func next(told <-chan string, patience time.Duration) string {
	select {
	case what := <-told:
		return what
	case <-time.After(patience):
		return ""
	}
}

func want(t *testing.T, told <-chan string, what string) {
	t.Helper()
	if got := next(told, 20*time.Second); got != what {
		t.Fatalf("the session was told %q, want %q", got, what)
	}
}
