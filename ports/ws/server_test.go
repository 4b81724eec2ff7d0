package ws_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

func TestMessageReachesEverySessionOfItsUserAndNobodyElse(t *testing.T) {
	n := serve(t, config{})
	phone, laptop, other := n.v1("alice", "systems=orders"), n.v1("alice", "systems=orders"), n.v1("bob", "systems=orders")
	n.deliver("user:alice", "orders", `{"n":1}`)
	n.deliver("*", "orders", `"all"`)
	phone.wantsData(`{"n":1}`)
	phone.wantsData(`"all"`)
	laptop.wantsData(`{"n":1}`)
	laptop.wantsData(`"all"`)
	other.wantsData(`"all"`)
}

func TestHelloNamesUserNodeAndCursors(t *testing.T) {
	n := serve(t, config{registry: session.Config{Node: "n7"}})
	c := n.dial("alice", "systems=orders,chat", nil)
	line := c.wants(`{"op":"hello","session":"`)
	for _, part := range []string{`"node":"n7"`, `"user":"alice"`, `"systems":{"orders":{"cursor":"`, `"chat":{"cursor":"`, `"resumed":false`} {
		if !strings.Contains(line, part) {
			t.Errorf("hello lacks %s: %s", part, line)
		}
	}
	if got := c.conn.Subprotocol(); got != ws.V1 {
		t.Errorf("subprotocol %q", got)
	}
}

func TestPlainClientGetsDataVerbatimAndSpeaksToTheInboundTopic(t *testing.T) {
	n := serve(t, config{})
	c := n.plain("alice", "systems=orders")
	n.deliver("user:alice", "orders", `{"n":1}`)
	n.deliverMessage("orders", &domain.Message{To: targets("user:alice"), Data: []byte("\xff\x00"), ContentType: domain.Binary})
	for _, want := range []struct {
		kind int
		data string
	}{{websocket.TextMessage, `{"n":1}`}, {websocket.BinaryMessage, "\xff\x00"}} {
		kind, data, err := c.conn.ReadMessage()
		if err != nil || kind != want.kind || string(data) != want.data {
			t.Fatalf("got %d %q %v, want %v", kind, data, err, want)
		}
	}
	c.says(`{"a":` + "\n" + `1}`)
	c.says("hello")
	if err := c.conn.WriteMessage(websocket.BinaryMessage, []byte{1}); err != nil {
		t.Fatal(err)
	}
	poll(t, func() bool { return len(n.bus.took()) == 3 })
	want := []string{
		`orders inbound from=alice type= application/json {"a":1}`,
		`orders inbound from=alice type= text/plain hello`,
		"orders inbound from=alice type= application/octet-stream \x01",
	}
	if got := n.bus.took(); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q", got)
	}
}

func TestOrderAndCompletenessUnderLoad(t *testing.T) {
	n := serve(t, config{ws: ws.Config{OutboxBytes: 2000, OutboxFrames: 16}})
	const messages = 2000
	v1, plain := n.v1("alice", "systems=orders"), n.plain("alice", "systems=orders")
	go func() {
		for i := range messages {
			n.deliver("user:alice", "orders", fmt.Sprint(i))
		}
	}()
	for i := range messages {
		v1.wantsData(fmt.Sprint(i))
	}
	for i := range messages {
		_, data, err := plain.conn.ReadMessage()
		if err != nil || string(data) != fmt.Sprint(i) {
			t.Fatalf("want %d, got %q %v", i, data, err)
		}
	}
}

func TestOps(t *testing.T) {
	n := serve(t, config{})
	c := n.v1("alice", "systems=orders,chat")
	c.says(`{"op":"join","ref":1,"system":"chat","room":"lobby"}`)
	c.wants(`{"op":"ok","ref":1}`)
	n.deliver("room:lobby", "chat", `"hi"`)
	c.wantsData(`"hi"`)
	c.says(`{"op":"leave","ref":"two","system":"chat","room":"lobby"}`)
	c.wants(`{"op":"ok","ref":"two"}`)
	n.deliver("room:lobby", "chat", `"missed"`)
	c.says(`{"op":"send","ref":3,"system":"chat","to":"room:lobby","id":"x1","type":"chat.said","data":{"text":"hi"}}`)
	c.wants(`{"op":"ok","ref":3,"id":"x1"}`)
	c.says(`{"op":"send","ref":4,"system":"orders","content_type":"text/plain","data":"hello"}`)
	c.wants(`{"op":"ok","ref":4,"id":"`)
	want := []string{`chat to=[room:lobby] from=alice type=chat.said application/json {"text":"hi"}`,
		`orders inbound from=alice type= text/plain hello`}
	if got := n.bus.took(); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q", got)
	}
}

func TestDrainTellsEachSessionAndClosesIt(t *testing.T) {
	n := serve(t, config{registry: session.Config{Drain: 50 * time.Millisecond}})
	a, b, p := n.v1("alice", "systems=orders"), n.v1("bob", "systems=orders"), n.plain("carol", "systems=orders")
	poll(t, func() bool { return n.registry.Stats().Sessions == 3 })
	done := make(chan error)
	go func() { done <- n.registry.Drain(context.Background()) }()
	for _, c := range []*client{a, b} {
		c.wants(`{"op":"goaway","retry_ms":`)
		c.wantsClose(session.CloseGoingAway)
	}
	p.wantsClose(session.CloseGoingAway)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, resp, err := n.try("alice", "systems=orders", nil); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a draining node took a session: %v", resp)
	}
	if s := n.registry.Stats(); s.Sessions != 0 || s.Closed[session.CloseGoingAway] != 3 {
		t.Errorf("stats: %+v", s)
	}
}
