package sse_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/sse"
)

func TestHelloComesFirstAndAtOnce(t *testing.T) {
	n := serve(t, config{registry: session.Config{Node: "n7"}})
	s := n.open("alice", "systems=orders,chat", nil)
	hello := s.wants(`{"op":"hello","session":"`)
	for _, part := range []string{`"node":"n7"`, `"user":"alice"`, `"systems":{"orders":{"cursor":"`, `"chat":{"cursor":"`, `"resumed":false`} {
		if !strings.Contains(hello, part) {
			t.Errorf("hello lacks %s: %s", part, hello)
		}
	}
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"} {
		if got := s.resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if s.retry < 1000 || s.retry > 4000 {
		t.Errorf("retry: %d", s.retry)
	}
	if !strings.HasPrefix(s.id, "orders:") || !strings.Contains(s.id, ",chat:") {
		t.Errorf("id: %q", s.id)
	}
}

func TestMessagesReachEverySessionOfTheirUserInOrder(t *testing.T) {
	n := serve(t, config{})
	a, b, other := n.hello("alice", "systems=orders"), n.hello("alice", "systems=orders"), n.hello("bob", "systems=orders")
	for i := range 100 {
		n.deliver("user:alice", "orders", fmt.Sprint(i))
	}
	n.deliver("*", "orders", `"all"`)
	for _, s := range []*source{a, b} {
		for i := range 100 {
			s.wantsData(fmt.Sprint(i))
		}
		s.wantsData(`"all"`)
	}
	other.wantsData(`"all"`)
}

func TestIDHasTheCursorsOfAllSystems(t *testing.T) {
	n := serve(t, config{})
	s := n.hello("alice", "systems=orders,chat")
	start := s.id
	n.deliver("user:alice", "chat", `1`)
	var m struct{ Cursor string }
	if err := json.Unmarshal([]byte(s.wants(`{"op":"message","system":"chat"`)), &m); err != nil {
		t.Fatal(err)
	}
	orders, _, _ := strings.Cut(start, ",")
	if want := orders + ",chat:" + m.Cursor; s.id != want {
		t.Errorf("id %q, want %q", s.id, want)
	}
}

func TestEventSourceResumesByItself(t *testing.T) {
	n := serve(t, config{sse: sse.Config{OutboxFrames: 4}})
	const query = "systems=orders,chat&rooms=chat/lobby"
	s := n.hello("alice", query)
	n.deliver("room:lobby", "chat", `"seen"`)
	s.wantsData(`"seen"`)
	for i := range 50 {
		n.deliver("room:lobby", "chat", fmt.Sprint(i))
	}
	s = n.again(s, "alice", query)
	if hello := s.wants(`{"op":"hello"`); strings.Count(hello, `"resumed":true`) != 2 {
		t.Errorf("hello: %s", hello)
	}
	for i := range 50 {
		s.wantsData(fmt.Sprint(i))
	}
	s = n.again(s, "alice", query)
	s.wants(`{"op":"hello"`)
	n.deliver("room:lobby", "chat", `"live"`)
	s.wantsData(`"live"`)
}

func TestLastEventIDWinsOverResume(t *testing.T) {
	n := serve(t, config{})
	s := n.hello("alice", "systems=orders")
	old := s.id
	n.deliver("user:alice", "orders", `1`)
	n.deliver("user:alice", "orders", `2`)
	s.wantsData(`1`)
	one := s.id
	s.close()
	s = n.open("alice", "systems=orders&resume="+old, nil)
	s.wants(`{"op":"hello"`)
	s.wantsData(`1`)
	s = n.open("alice", "systems=orders&resume="+old, http.Header{"Last-Event-Id": {one}})
	s.wants(`{"op":"hello"`)
	s.wantsData(`2`)
}

func TestIDMovesOnlyAfterTheGapWasTold(t *testing.T) {
	n := serve(t, config{})
	foreign := "orders:" + domain.Cursor{Log: 1, Position: "x", Time: time.UnixMilli(1)}.String()
	s := n.open("alice", "systems=orders", http.Header{"Last-Event-Id": {foreign}})
	s.wants(`{"op":"hello"`)
	if s.id != foreign {
		t.Errorf("before the gap was told the id is %q, want %q", s.id, foreign)
	}
	s.wants(`{"op":"gap","system":"orders","reason":"unknown_cursor"`)
	if s.id == foreign {
		t.Error("the gap would be told again after each reconnect")
	}
}

func TestSessionsHearOfTheBus(t *testing.T) {
	n := serve(t, config{})
	s := n.hello("alice", "systems=orders")
	poll(t, func() bool { return n.registry.Stats().Sessions == 1 })
	id := s.id
	n.registry.SetBusUp(false)
	s.wants(`{"op":"bus","up":false}`)
	n.hello("bob", "systems=orders").wants(`{"op":"bus","up":false}`)
	n.registry.SetBusUp(true)
	s.wants(`{"op":"bus","up":true}`)
	if s.id != id || s.ids != 1 {
		t.Errorf("notices moved the id: %d times to %q, it was %q", s.ids-1, s.id, id)
	}
}

func TestDrainTellsEachSessionAndEndsIt(t *testing.T) {
	n := serve(t, config{registry: session.Config{Drain: 50 * time.Millisecond}})
	a, b := n.hello("alice", "systems=orders"), n.hello("bob", "systems=orders")
	poll(t, func() bool { return n.registry.Stats().Sessions == 2 })
	if err := n.registry.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*source{a, b} {
		var away struct {
			Retry int `json:"retry_ms"`
		}
		if err := json.Unmarshal([]byte(s.wants(`{"op":"goaway","retry_ms":`)), &away); err != nil || max(away.Retry, 1) != s.retry {
			t.Errorf("retry %d, told %d %v", s.retry, away.Retry, err)
		}
		s.wants(`{"op":"close","code":1001,`)
		s.wantsEnd()
	}
	late := n.try("alice", "systems=orders", nil)
	if late.resp.StatusCode != http.StatusServiceUnavailable || late.resp.Header.Get("Retry-After") == "" {
		t.Errorf("a draining node answered %d", late.resp.StatusCode)
	}
	if st := n.registry.Stats(); st.Sessions != 0 || st.Closed[session.CloseGoingAway] != 2 || n.server.Stats().Sessions != 0 {
		t.Errorf("stats: %+v", st)
	}
}

// A client that was disconnected, or replaced by a newer session, must not come back by
// itself. If it comes back on purpose, it has lost nothing.
func TestClientsThatMustNotComeBackAreStopped(t *testing.T) {
	for name, end := range map[string]func(*node){
		`{"op":"disconnect","code":4009,"reason":"disconnected","reconnect":false}`: func(n *node) {
			n.registry.Disconnect("alice", control.Value{Final: true})
		},
		`{"op":"close","code":4010,"reason":"`: func(n *node) { n.hello("alice", "systems=orders") },
	} {
		n := serve(t, config{registry: session.Config{SessionsPerUser: 1}})
		s := n.hello("alice", "systems=orders")
		n.deliver("user:alice", "orders", `1`)
		s.wantsData(`1`)
		end(n)
		if strings.Contains(s.wants(name), `"op":"disconnect"`) {
			s.wants(`{"op":"close","code":4009,"reason":"disconnected"}`)
		}
		s.wantsEnd()
		n.deliver("user:alice", "orders", `2`)
		back := n.try("alice", "systems=orders", http.Header{"Last-Event-Id": {s.id}})
		if back.resp.StatusCode != http.StatusNoContent || n.server.Stats().Stopped != 1 {
			t.Errorf("%s: answered %d to a client that came back with %q", name, back.resp.StatusCode, s.id)
		}
		resume, _, _ := strings.Cut(s.id, "!")
		meant := n.open("alice", "systems=orders&resume="+resume, nil)
		meant.wants(`{"op":"hello"`)
		meant.wantsData(`2`)
	}
}

func TestFullNodeSendsClientsElsewhere(t *testing.T) {
	n := serve(t, config{registry: session.Config{Sessions: 1}})
	s := n.hello("alice", "systems=orders")
	full := n.try("bob", "systems=orders", nil)
	if full.resp.StatusCode != http.StatusServiceUnavailable || full.resp.Header.Get("Retry-After") == "" {
		t.Fatalf("want 503 with Retry-After, got %d", full.resp.StatusCode)
	}
	s.close()
	poll(t, func() bool { return n.registry.Stats().Closed[session.CloseAbnormal] == 1 })
	n.hello("bob", "systems=orders")
}

func TestPaddingComesOnlyWhereItIsAskedFor(t *testing.T) {
	n := serve(t, config{})
	for query, want := range map[string]int{"systems=orders": 0, "systems=orders&pad=1": 1} {
		s := n.hello("alice", query)
		n.deliver("user:alice", "orders", `1`)
		s.wantsData(`1`)
		if s.heard != want {
			t.Errorf("%s: %d comments, want %d", query, s.heard, want)
		}
	}
}

// A client whose connection is cut again and again, at any byte, receives every message
// once and in order, with nothing but its last event id.
func TestCutConnectionsLoseAndRepeatNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	n := serve(t, config{sse: sse.Config{OutboxFrames: 3, OutboxBytes: 900}})
	const perSystem, query = 400, "systems=orders,chat,shop"
	var writers sync.WaitGroup
	s := n.hello("alice", query)
	for _, sys := range []string{"orders", "chat", "shop"} {
		writers.Go(func() {
			for i := range perSystem {
				n.deliver("user:alice", sys, fmt.Sprintf(`{"i":%d,"fill":"%s"}`, i, strings.Repeat("x", i%300)))
				n.deliver("user:bob", sys, `0`)
			}
		})
	}
	next := make(map[string]int)
	for got := 0; got < 3*perSystem; {
		if r.IntN(40) == 0 {
			s = n.again(s, "alice", query)
		}
		data, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Op, System string
			Data       struct{ I int }
		}
		if json.Unmarshal([]byte(data), &m) != nil || m.Op != "message" && m.Op != "hello" {
			t.Fatalf("got %s", data)
		}
		if m.Op == "hello" {
			continue
		}
		if m.Data.I != next[m.System] {
			t.Fatalf("want number %d of %s, got %s", next[m.System], m.System, data)
		}
		next[m.System]++
		got++
	}
	writers.Wait()
	if n.server.Stats().FellBack == 0 {
		t.Error("no outbox was ever full: the test shows nothing")
	}
}

func TestMessagesLargerThanTheOutboxArrive(t *testing.T) {
	n := serve(t, config{sse: sse.Config{OutboxBytes: 1000}})
	s := n.hello("alice", "systems=orders")
	for i := range 5 {
		n.deliver("user:alice", "orders", fmt.Sprintf(`"%d%s"`, i, strings.Repeat("x", 200_000)))
	}
	for i := range 5 {
		s.wantsData(fmt.Sprintf(`"%d%s"`, i, strings.Repeat("x", 200_000)))
	}
}

// Over HTTP/2 a write deadline ends the stream even when nothing is being written.
func TestSessionsOverHTTP2(t *testing.T) {
	n := newNode(t, config{sse: sse.Config{Stall: 50 * time.Millisecond, Heartbeat: time.Hour}})
	listener := httptest.NewUnstartedServer(n.server)
	listener.EnableHTTP2 = true
	listener.StartTLS()
	n.listen(listener)
	s := n.hello("alice", "systems=orders")
	if s.resp.ProtoMajor != 2 {
		t.Fatalf("protocol %s", s.resp.Proto)
	}
	for i := range 3 {
		<-time.After(100 * time.Millisecond)
		n.deliver("user:alice", "orders", fmt.Sprint(i))
		s.wantsData(fmt.Sprint(i))
	}
	n.deliver("user:alice", "orders", `"`+strings.Repeat("x", 300_000)+`"`)
	s.wants(`{"op":"message"`)
	n.registry.Disconnect("alice", control.Value{})
	s.wants(`{"op":"disconnect","code":4009`)
	s.wants(`{"op":"close","code":4009`)
	s.wantsEnd()
}

func TestClientsThatComeDuringADrainAreTurnedAwayOrSentAway(t *testing.T) {
	n := serve(t, config{registry: session.Config{Drain: 100 * time.Millisecond}})
	var comers sync.WaitGroup
	for range 4 {
		comers.Go(func() {
			for {
				s := n.try("alice", "systems=orders", nil)
				if s.resp.StatusCode == http.StatusServiceUnavailable {
					return
				}
				go func() {
					for _, err := s.next(); err == nil; _, err = s.next() {
					}
				}()
			}
		})
	}
	poll(t, func() bool { return n.registry.Stats().Opened > 20 })
	if err := n.registry.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	comers.Wait()
	if s := n.registry.Stats(); s.Sessions != 0 || s.Users != 0 || n.server.Stats().Sessions != 0 {
		t.Errorf("stats: %+v", s)
	}
}
