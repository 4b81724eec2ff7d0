package ws_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

func TestOldestSessionOfAUserGivesWay(t *testing.T) {
	n := serve(t, config{registry: session.Config{SessionsPerUser: 2}})
	first, second, other := n.v1("alice", "systems=orders"), n.v1("alice", "systems=orders"), n.v1("bob", "systems=orders")
	third := n.v1("alice", "systems=orders")
	first.wantsClose(session.CloseReplaced)
	n.deliver("*", "orders", `1`)
	for _, c := range []*client{second, third, other} {
		c.wantsData(`1`)
	}
}

func TestFullNodeSendsClientsElsewhere(t *testing.T) {
	n := serve(t, config{registry: session.Config{Sessions: 1}})
	c := n.v1("alice", "systems=orders")
	_, resp, err := n.try("bob", "systems=orders", nil)
	if err == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("want 503 with Retry-After, got %v", resp)
	}
	_ = c.conn.Close()
	poll(t, func() bool { return n.registry.Stats().Sessions == 0 })
	poll(t, func() bool { _, _, err := n.try("bob", "systems=orders", nil); return err == nil })
}

func TestDisconnectClosesAllSessionsOfAUser(t *testing.T) {
	n := serve(t, config{})
	a, b, other := n.v1("alice", "systems=orders"), n.v1("alice", "systems=orders"), n.v1("bob", "systems=orders")
	if got := n.registry.Disconnect("alice", control.Value{}); got != 2 {
		t.Errorf("disconnected %d", got)
	}
	a.wantsClose(session.CloseDisconnected)
	b.wantsClose(session.CloseDisconnected)
	n.deliver("*", "orders", `1`)
	other.wantsData(`1`)
	if n.registry.Disconnect("nobody", control.Value{}) != 0 {
		t.Error("disconnected nobody")
	}
}

func TestSessionsHearOfTheBus(t *testing.T) {
	n := serve(t, config{})
	before := n.v1("alice", "systems=orders")
	n.registry.SetBusUp(false)
	n.registry.SetBusUp(false)
	before.wants(`{"op":"bus","up":false}`)
	after := n.v1("bob", "systems=orders")
	after.wants(`{"op":"bus","up":false}`)
	n.registry.SetBusUp(true)
	before.wants(`{"op":"bus","up":true}`)
	after.wants(`{"op":"bus","up":true}`)
}

func TestResumeGivesWhatWasMissedAfterHello(t *testing.T) {
	n := serve(t, config{ws: ws.Config{OutboxFrames: 4}})
	c := n.v1("alice", "systems=chat&rooms=chat/lobby")
	n.deliver("room:lobby", "chat", `0`)
	var m struct{ Cursor string }
	if err := json.Unmarshal([]byte(c.wants(`{"op":"message"`)), &m); err != nil {
		t.Fatal(err)
	}
	_ = c.conn.Close()
	for i := range 50 {
		n.deliver("room:lobby", "chat", fmt.Sprint(i+1))
	}
	c = n.dial("alice", "systems=chat,orders&rooms=chat/lobby&resume=chat:"+m.Cursor, nil)
	if hello := c.wants(`{"op":"hello"`); !strings.Contains(hello, `"chat":{"cursor":"`+m.Cursor+`","resumed":true}`) {
		t.Errorf("hello: %s", hello)
	}
	for i := range 50 {
		c.wantsData(fmt.Sprint(i + 1))
	}
	foreign := domain.Cursor{Log: 1, Position: "x", Time: time.UnixMilli(1)}
	c = n.v1("alice", "systems=chat&resume=chat:"+foreign.String())
	c.wants(`{"op":"gap","system":"chat","reason":"unknown_cursor","cursor":"`)
}

// A session must never be forgotten. With outboxes of a few frames, every session falls
// back again and again, while publishers, readers and joins race.
func TestNoSessionIsLeftBehind(t *testing.T) {
	for _, frames := range []int{1, 2, 7} {
		t.Run(fmt.Sprint(frames, " frames"), func(t *testing.T) {
			n := serve(t, config{ws: ws.Config{OutboxFrames: frames, OutboxBytes: 700}})
			const perSystem, sessions = 300, 12
			var readers, writers sync.WaitGroup
			for i := range sessions {
				if i%3 == 0 {
					c := n.plain("alice", "systems=orders")
					readers.Go(func() { readPlain(t, c, perSystem) })
					continue
				}
				c := n.v1("alice", "systems=orders,chat,shop")
				seed := rand.Uint64()
				t.Logf("session %d: seed %d", i, seed)
				readers.Go(func() { readAll(t, c, 3*perSystem, rand.New(rand.NewPCG(seed, 0))) })
			}
			for _, sys := range []string{"orders", "chat", "shop"} {
				writers.Go(func() {
					for i := range perSystem {
						n.deliver("user:alice", sys, fmt.Sprintf(`{"i":%d,"fill":"%s"}`, i, strings.Repeat("x", i%300)))
					}
				})
			}
			writers.Wait()
			readers.Wait()
			if s, d := n.server.Stats(), n.registry.Stats(); s.FellBack == 0 || d.Sessions != sessions {
				t.Errorf("stats: %+v %+v", s, d)
			}
		})
	}
}

func readPlain(t *testing.T, c *client, count int) {
	for i := range count {
		_ = c.conn.SetReadDeadline(time.Now().Add(patience))
		_, data, err := c.conn.ReadMessage()
		if err != nil || !strings.HasPrefix(string(data), fmt.Sprintf(`{"i":%d,`, i)) {
			t.Errorf("plain: want message %d, got %.40q %v", i, data, err)
			return
		}
	}
}

// readAll reads messages of several systems, which must come in order within each
// system. Now and then it pauses or sends something.
func readAll(t *testing.T, c *client, count int, r *rand.Rand) {
	next := make(map[string]int)
	for range count {
		if r.IntN(50) == 0 {
			pauseFor(time.Duration(r.IntN(3)) * time.Millisecond)
			c.says(`{"op":"join","system":"chat","room":"x"}`)
		}
		line, err := c.next()
		for err == nil && !strings.HasPrefix(line, `{"op":"message"`) {
			line, err = c.next()
		}
		var m struct {
			System string
			Data   struct{ I int }
		}
		if err != nil || json.Unmarshal([]byte(line), &m) != nil || m.Data.I != next[m.System] {
			t.Errorf("want number %d of %s, got %s %v", next[m.System], m.System, line, err)
			return
		}
		next[m.System]++
	}
}

func TestMessagesLargerThanTheOutboxArrive(t *testing.T) {
	n := serve(t, config{ws: ws.Config{OutboxBytes: 1000}})
	c, p := n.v1("alice", "systems=orders"), n.plain("alice", "systems=orders")
	for i := range 5 {
		n.deliver("user:alice", "orders", fmt.Sprintf(`"%d%s"`, i, strings.Repeat("x", 200_000)))
	}
	for i := range 5 {
		c.wantsData(fmt.Sprintf(`"%d%s"`, i, strings.Repeat("x", 200_000)))
		if _, data, err := p.conn.ReadMessage(); err != nil || len(data) != 200_003 {
			t.Fatalf("plain: %d bytes, %v", len(data), err)
		}
	}
}

func TestSessionTargetReachesOneSession(t *testing.T) {
	n := serve(t, config{})
	a, b := n.dial("alice", "systems=orders", nil), n.v1("alice", "systems=orders")
	var hello struct{ Session string }
	if err := json.Unmarshal([]byte(a.wants(`{"op":"hello"`)), &hello); err != nil {
		t.Fatal(err)
	}
	n.deliver("session:"+hello.Session, "orders", `1`)
	n.deliver("*", "orders", `2`)
	a.wantsData(`1`)
	a.wantsData(`2`)
	b.wantsData(`2`)
}

func TestClientsThatComeDuringADrainAreTurnedAwayOrSentAway(t *testing.T) {
	n := serve(t, config{registry: session.Config{Drain: 100 * time.Millisecond}})
	var comers sync.WaitGroup
	for range 4 {
		comers.Go(func() {
			for {
				c, resp, err := n.try("alice", "systems=orders", nil)
				if err != nil {
					if resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
						t.Errorf("refused with %v", err)
					}
					return
				}
				go func() {
					for err == nil {
						_, err = c.next()
					}
					_ = c.conn.Close()
				}()
			}
		})
	}
	poll(t, func() bool { return n.registry.Stats().Opened > 20 })
	if err := n.registry.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	comers.Wait()
	if s := n.registry.Stats(); s.Sessions != 0 || s.Users != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// A write that is stuck in the system's send buffer must not keep a session open that
// is to be closed, with or without TLS.
func TestStuckSessionsAreClosedInTime(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("tls ", secure), func(t *testing.T) {
			n := newNode(t, config{ws: ws.Config{CloseWait: 100 * time.Millisecond, Stall: time.Hour}})
			listener := httptest.NewUnstartedServer(n.server)
			dialer := websocket.Dialer{}
			if secure {
				listener.StartTLS()
				dialer.TLSClientConfig = listener.Client().Transport.(*http.Transport).TLSClientConfig
			} else {
				listener.Start()
			}
			t.Cleanup(func() { n.stop(); <-n.stopped; listener.Close() })
			conn, _, err := dialer.Dial("ws"+strings.TrimPrefix(listener.URL, "http")+"/ws?systems=orders",
				http.Header{"Authorization": {"Bearer alice"}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			poll(t, func() bool { return n.registry.Stats().Sessions == 1 })
			for range 2 {
				n.deliver("user:alice", "orders", `"`+strings.Repeat("x", 16<<20)+`"`)
			}
			n.registry.Disconnect("alice", control.Value{})
			poll(t, func() bool { return n.registry.Stats().Closed[session.CloseDisconnected] == 1 })
		})
	}
}
