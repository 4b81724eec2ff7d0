package ws_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/session/sessiontest"
	"github.com/fanfarebus/fanfare/ports/ws"
)

// controlled returns a node with a control plane, and presence for chat.
func controlled(t *testing.T, cfg config) (*node, *sessiontest.Control) {
	t.Helper()
	facts := sessiontest.New(t, &cfg.registry, system("chat"))
	return serve(t, cfg), facts
}

// wantsReason reads until the close frame, which must have the code and the reason.
func (c *client) wantsReason(code int, reason string) {
	c.t.Helper()
	for {
		if _, err := c.next(); err != nil {
			var closed *websocket.CloseError
			if !errors.As(err, &closed) || closed.Code != code || closed.Text != reason {
				c.t.Fatalf("want close %d %q, got %v", code, reason, err)
			}
			return
		}
	}
}

func TestDisconnectSaysWhetherToComeBack(t *testing.T) {
	n, _ := controlled(t, config{})
	for _, test := range []struct {
		value control.Value
		op    string
		code  int
	}{
		{control.Value{}, `{"op":"disconnect","code":4009,"reason":"disconnected","reconnect":true}`, 4009},
		{control.Value{Reason: "logged out", Final: true}, `{"op":"disconnect","code":4009,"reason":"logged out","reconnect":false}`, 4009},
		{control.Value{Reason: "moved", Code: 4321}, `{"op":"disconnect","code":4321,"reason":"moved","reconnect":true}`, 4321},
	} {
		v1, plain := n.v1("alice", "systems=orders"), n.plain("alice", "systems=orders")
		poll(t, func() bool { return n.registry.Stats().Sessions == 2 })
		n.deliver("user:alice", "orders", `1`)
		n.registry.Disconnect("alice", test.value)
		v1.wantsData(`1`)
		v1.wants(test.op)
		if line, err := plain.next(); line != `1` {
			t.Errorf("plain: %s %v", line, err)
		}
		reason := test.value.Reason
		if reason == "" {
			reason = "disconnected"
		}
		v1.wantsReason(test.code, reason)
		plain.wantsReason(test.code, reason)
		poll(t, func() bool { return n.registry.Stats().Sessions == 0 })
	}
}

func TestBlockedUsersAreClosedAndTurnedAway(t *testing.T) {
	n, facts := controlled(t, config{})
	c, plain := n.v1("alice", "systems=orders"), n.plain("alice", "systems=orders")
	facts.Refuse("alice", "spam")
	c.says(`{"op":"auth","ref":1,"token":"alice"}`)
	if line := c.wants(`{"op":"error","ref":1,"code":"forbidden"`); !strings.Contains(line, "blocked: spam") {
		t.Error(line)
	}
	n.registry.Review("alice")
	c.wantsReason(session.CloseForbidden, "spam")
	plain.wantsReason(session.CloseForbidden, "spam")
	_, answer, err := n.try("alice", "systems=orders", nil)
	if err == nil || answer.StatusCode != http.StatusForbidden {
		t.Fatalf("a blocked user: %v", err)
	}
	if body, _ := io.ReadAll(answer.Body); !strings.Contains(string(body), "blocked: spam") {
		t.Errorf("%s", body)
	}
	n.v1("bob", "systems=orders")
	facts.Admit("alice")
	n.v1("alice", "systems=orders")
}

func TestServerSideRoomsCannotBeLeft(t *testing.T) {
	n, facts := controlled(t, config{registry: session.Config{Rooms: 1}})
	member := func(is bool) {
		facts.SetMember(system("chat"), "vip", "alice", is)
		n.registry.Review("alice")
	}
	member(true)
	c, plain := n.v1("alice/lobby", "systems=chat"), n.plain("alice", "systems=chat")
	c.wants(`{"op":"joined","system":"chat","room":"vip","by":"server"}`)
	c.says(`{"op":"leave","ref":1,"system":"chat","room":"vip"}`)
	c.wants(`{"op":"error","ref":1,"code":"forbidden"`)
	c.says(`{"op":"join","ref":2,"system":"chat","room":"vip"}`) // the token does not grant it
	c.wants(`{"op":"error","ref":2,"code":"forbidden"`)
	c.says(`{"op":"join","ref":3,"system":"chat","room":"lobby"}`) // it does not count
	c.wants(`{"op":"ok","ref":3}`)
	c.says(`{"op":"auth","ref":4,"token":"alice/none"}`) // no rooms: only the client's own is left
	c.wants(`{"op":"left","system":"chat","room":"lobby","reason":"token"}`)
	c.wants(`{"op":"ok","ref":4}`)
	n.deliver("room:vip", "chat", `"in"`)
	c.wantsData(`"in"`)
	if line, err := plain.next(); line != `"in"` {
		t.Errorf("plain: %s %v", line, err)
	}
	member(false)
	n.deliver("room:vip", "chat", `"out"`)
	n.deliver("user:alice", "chat", `"end"`)
	c.wants(`{"op":"left","system":"chat","room":"vip","reason":"server"}`)
	c.wantsData(`"end"`)
	if line, err := plain.next(); line != `"end"` {
		t.Errorf("plain: %s %v", line, err)
	}
	c.says(`{"op":"leave","ref":5,"system":"chat","room":"vip"}`)
	c.wants(`{"op":"ok","ref":5}`)
}

// More rooms than an outbox has room for are told as the client reads.
func TestManyServerSideRoomsAreToldAsThereIsRoom(t *testing.T) {
	n, facts := controlled(t, config{ws: ws.Config{OutboxFrames: 4}})
	for i := range 200 {
		facts.SetMember(system("chat"), fmt.Sprintf("r%03d", i), "alice", true)
	}
	c := n.v1("alice", "systems=chat")
	for i := range 200 {
		c.wants(fmt.Sprintf(`{"op":"joined","system":"chat","room":"r%03d","by":"server"}`, i))
	}
	n.deliver("room:r199", "chat", `1`)
	c.wantsData(`1`)
	for i := range 200 {
		facts.SetMember(system("chat"), fmt.Sprintf("r%03d", i), "alice", false)
	}
	n.registry.Review("alice")
	for i := range 200 {
		c.wants(fmt.Sprintf(`{"op":"left","system":"chat","room":"r%03d","reason":"server"}`, i))
	}
}

func TestClientsWatchWhoIsThere(t *testing.T) {
	n, facts := controlled(t, config{})
	bob := n.v1("bob", "systems=chat&rooms=chat/lobby")
	c := n.v1("alice", "systems=chat,orders")
	for op, answer := range map[string]string{
		`{"op":"presence","ref":1,"system":"chat","room":"x/y","watch":"users"}`: `{"op":"error","ref":1,"code":"forbidden"`,
		`{"op":"presence","ref":1,"system":"orders","watch":"count"}`:            `{"op":"error","ref":1,"code":"unsupported"`,
		`{"op":"presence","ref":1,"system":"shop","watch":"count"}`:              `{"op":"error","ref":1,"code":"not_found"`,
		`{"op":"presence","ref":1,"system":"chat"}`:                              `{"op":"error","ref":1,"code":"invalid"`,
		`{"op":"presence","ref":1,"system":"chat","watch":true}`:                 `{"op":"error","ref":1,"code":"invalid"`,
		`{"op":"presence","ref":1,"system":"chat","watch":"false"}`:              `{"op":"error","ref":1,"code":"invalid"`,
		`{"op":"presence","ref":1,"system":"chat","room":"","watch":"users"}`:    `{"op":"error","ref":1,"code":"invalid"`,
		`{"op":"presence","ref":1,"watch":"users"}`:                              `{"op":"error","ref":1,"code":"invalid"`,
	} {
		c.says(op)
		c.wants(answer)
	}
	c.says(`{"op":"presence","ref":2,"system":"chat","room":"lobby","watch":"users"}`)
	c.wants(`{"op":"ok","ref":2}`)
	c.wants(`{"op":"presence","system":"chat","room":"lobby","count":1,"users":["bob"]}`)
	c.says(`{"op":"presence","ref":3,"system":"chat","watch":"count"}`)
	c.wants(`{"op":"ok","ref":3}`)
	c.wants(`{"op":"presence","system":"chat","count":2}`)
	for i := range 18 {
		c.says(fmt.Sprintf(`{"op":"presence","ref":4,"system":"chat","room":"r%d","watch":"count"}`, i))
		c.wants(`{"op":"ok","ref":4}`)
		c.wants(`{"op":"presence"`)
	}
	c.says(`{"op":"presence","ref":5,"system":"chat","room":"more","watch":"count"}`)
	c.wants(`{"op":"error","ref":5,"code":"invalid"`)
	c.says(`{"op":"presence","ref":6,"system":"chat","room":"r0","watch":false}`)
	c.wants(`{"op":"ok","ref":6}`)

	bob.says(`{"op":"leave","ref":1,"system":"chat","room":"lobby"}`)
	bob.wants(`{"op":"ok"`)
	lobby := control.Place{System: system("chat"), Room: "lobby"}
	n.registry.PresenceChanged(facts.Change(lobby, nil, []string{"bob"}))
	c.wants(`{"op":"presence","system":"chat","room":"lobby","count":0,"joined":[],"left":["bob"]}`)
	facts.Attach(system("chat"), "lobby", "eve", 1)
	n.registry.PresenceChanged(facts.Change(lobby, []string{"eve"}, nil))
	c.wants(`{"op":"presence","system":"chat","room":"lobby","count":1,"joined":["eve"],"left":[]}`)

	watched := facts.Watched()
	c.says(`{"op":"auth","ref":7,"token":"alice/blind"}`)
	for range watched {
		c.wants(`{"op":"presence","system":"chat",`)
	}
	c.wants(`{"op":"ok","ref":7}`)
	if facts.Watched() != 0 {
		t.Errorf("%d places are watched", facts.Watched())
	}
}

// A session that reads nothing is not closed because much happens in a place; it gets the
// state when it reads again. It takes real sockets: what they hold must be full.
func TestBusyPlacesDoNotCloseSlowClients(t *testing.T) {
	n, facts := controlled(t, config{ws: ws.Config{OutboxFrames: 16, Stall: time.Minute}})
	c := n.v1("alice", "systems=chat")
	c.says(`{"op":"presence","ref":1,"system":"chat","room":"lobby","watch":"users"}`)
	c.wants(`{"op":"ok","ref":1}`)
	c.wants(`{"op":"presence"`)
	lobby := control.Place{System: system("chat"), Room: "lobby"}
	name := strings.Repeat("x", 200)
	for i := range 20_000 {
		facts.Attach(system("chat"), "lobby", "dave", 1-i%2*2)
		n.registry.PresenceChanged(facts.Change(lobby, []string{name, name, name, name, name}, nil))
	}
	facts.Attach(system("chat"), "lobby", "eve", 1)
	n.registry.PresenceChanged(facts.Change(lobby, []string{"eve"}, nil))
	for {
		line := c.wants(`{"op":"presence","system":"chat","room":"lobby","count":`)
		if strings.Contains(line, `"users":["eve"]`) || strings.Contains(line, `"joined":["eve"]`) {
			break
		}
	}
	if s := n.server.Stats(); s.Dropped > 0 || s.FellBack == 0 {
		t.Errorf("%d were dropped; fell back %d times", s.Dropped, s.FellBack)
	}
}
