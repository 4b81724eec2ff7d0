package sse_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/session/sessiontest"
	"github.com/fanfarebus/fanfare/ports/sse"
)

// controlled returns a node with a control plane, and presence for chat.
func controlled(t *testing.T, cfg config) (*node, *sessiontest.Control) {
	t.Helper()
	facts := sessiontest.New(t, &cfg.registry, system("chat"))
	return serve(t, cfg), facts
}

// An EventSource that was disconnected comes back by itself, unless it must not.
func TestDisconnectedClientsComeBackUnlessTheyMustNot(t *testing.T) {
	n, facts := controlled(t, config{})
	for name, test := range map[string]struct {
		end  func()
		ops  []string
		mark string
	}{
		"disconnected": {func() { n.registry.Disconnect("alice", control.Value{}) }, []string{
			`{"op":"disconnect","code":4009,"reason":"disconnected","reconnect":true}`,
			`{"op":"close","code":4009,"reason":"disconnected"}`}, ""},
		"disconnected for good": {func() { n.registry.Disconnect("alice", control.Value{Code: 4100, Reason: "bye", Final: true}) }, []string{
			`{"op":"disconnect","code":4100,"reason":"bye","reconnect":false}`,
			`{"op":"close","code":4100,"reason":"bye"}`}, "!4100"},
		"blocked": {func() { facts.Refuse("alice", "spam"); n.registry.Review("alice") }, []string{
			`{"op":"close","code":4003,"reason":"spam"}`}, "!4003"},
		"revoked": {func() { facts.RefuseToken(""); n.registry.Review("alice") }, []string{
			`{"op":"close","code":4001,"reason":"the token was revoked"}`}, ""},
	} {
		s := n.hello("alice", "systems=orders")
		n.deliver("user:alice", "orders", `1`)
		s.wantsData(`1`)
		test.end()
		for _, op := range test.ops {
			s.wants(op)
		}
		s.wantsEnd()
		if i := strings.IndexByte(s.id, '!'); i >= 0 && s.id[i:] != test.mark || i < 0 && test.mark != "" {
			t.Errorf("%s: the id is %s", name, s.id)
		}
		facts.Admit("alice")
		facts.AdmitToken("")
		want := http.StatusOK
		if test.mark != "" {
			want = http.StatusNoContent
		}
		back := n.try("alice", "systems=orders", http.Header{"Last-Event-Id": {s.id}})
		if back.resp.StatusCode != want {
			t.Errorf("%s: answered %d", name, back.resp.StatusCode)
		}
		back.close()
		poll(t, func() bool { return n.registry.Stats().Sessions == 0 })
	}
}

func TestServerSideRoomsAndPresenceOverEvents(t *testing.T) {
	n, facts := controlled(t, config{})
	facts.SetMember(system("chat"), "vip", "alice", true)
	s := n.open("alice", "systems=chat&presence=chat/vip&presence=chat/", nil)
	s.wants(`{"op":"hello"`)
	s.wants(`{"op":"joined","system":"chat","room":"vip","by":"server"}`)
	s.wants(`{"op":"presence","system":"chat","room":"vip","count":1,"users":["alice"]}`)
	s.wants(`{"op":"presence","system":"chat","count":1,"users":["alice"]}`)
	n.deliver("room:vip", "chat", `1`)
	s.wantsData(`1`)
	facts.SetMember(system("chat"), "vip", "alice", false)
	n.registry.Review("alice")
	s.wants(`{"op":"left","system":"chat","room":"vip","reason":"server"}`)
	vip := control.Place{System: system("chat"), Room: "vip"}
	n.registry.PresenceChanged(facts.Change(vip, nil, []string{"alice"}))
	s.wants(`{"op":"presence","system":"chat","room":"vip","count":0,"joined":[],"left":["alice"]}`)
	s.close()
	poll(t, func() bool { return facts.Watched() == 0 && len(facts.Attached()) == 0 })
}

func TestManyServerSideRoomsAreToldAsThereIsRoom(t *testing.T) {
	n, facts := controlled(t, config{sse: sse.Config{OutboxFrames: 4}})
	for i := range 200 {
		facts.SetMember(system("chat"), fmt.Sprintf("r%03d", i), "alice", true)
	}
	s := n.hello("alice", "systems=chat")
	for i := range 200 {
		s.wants(fmt.Sprintf(`{"op":"joined","system":"chat","room":"r%03d","by":"server"}`, i))
	}
}

func TestPlacesToWatchAreCheckedBeforeTheStream(t *testing.T) {
	n, _ := controlled(t, config{})
	for query, want := range map[string]int{
		"systems=chat&presence=chat/a/b":                          http.StatusForbidden,
		"systems=chat&presence=lobby":                             http.StatusUnprocessableEntity,
		"systems=chat&presence=orders/x":                          http.StatusUnprocessableEntity,
		"systems=chat&presence=":                                  http.StatusUnprocessableEntity,
		"systems=chat" + strings.Repeat("&presence=chat/x", 21):   http.StatusUnprocessableEntity,
		"systems=chat&check=1&presence=chat/a/b":                  http.StatusForbidden,
		"systems=chat&check=1&presence=chat/a":                    http.StatusNoContent,
		"systems=chat,orders&presence=orders/a&presence=chat/a/b": http.StatusForbidden,
	} {
		if s := n.try("alice", query, nil); s.resp.StatusCode != want {
			body, _ := io.ReadAll(s.resp.Body)
			t.Errorf("%s: %d %s", query, s.resp.StatusCode, body)
		}
	}
	// Where presence is not kept, nobody can see who is there.
	off := serve(t, config{})
	if s := off.try("alice", "systems=chat&presence=chat/a", nil); s.resp.StatusCode != http.StatusNotFound {
		t.Errorf("without presence: %d", s.resp.StatusCode)
	}
}

// A client that reads slowly gets the state of a busy place, and is not closed.
func TestBusyPlacesDoNotCloseSlowReaders(t *testing.T) {
	n, facts := controlled(t, config{sse: sse.Config{OutboxFrames: 16}, registry: session.Config{}})
	s := n.hello("alice", "systems=chat&presence=chat/lobby")
	s.wants(`{"op":"presence"`)
	lobby := control.Place{System: system("chat"), Room: "lobby"}
	name := strings.Repeat("x", 200)
	for i := range 20_000 {
		facts.Attach(system("chat"), "lobby", "dave", 1-i%2*2)
		n.registry.PresenceChanged(facts.Change(lobby, []string{name, name, name, name, name}, nil))
	}
	facts.Attach(system("chat"), "lobby", "eve", 1)
	n.registry.PresenceChanged(facts.Change(lobby, []string{"eve"}, nil))
	// It is told by a state, or by a change if the client has caught up just before.
	for told := ""; !strings.Contains(told, `"users":["eve"]`) && !strings.Contains(told, `"joined":["eve"]`); {
		told = s.wants(`{"op":"presence","system":"chat","room":"lobby","count":`)
	}
	if st := n.server.Stats(); st.Dropped > 0 || st.FellBack == 0 {
		t.Errorf("%d were dropped; fell back %d times", st.Dropped, st.FellBack)
	}
}
