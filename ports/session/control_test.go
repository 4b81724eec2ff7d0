package session_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/session"
)

const (
	joinedLobby = `{"op":"joined","system":"chat","room":"lobby","by":"server"}`
	leftLobby   = `{"op":"left","system":"chat","room":"lobby","reason":"server"}`
)

func (p *plane) member(user string, member bool) {
	p.SetMember(system("chat"), "lobby", user, member)
	p.registry.Review(user)
}

func TestServerSideRoomsComeAndGo(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	p.SetMember(system("chat"), "lobby", "alice", true)
	l := p.begin(t, "alice", "systems=chat,orders")
	l.wants(t, joinedLobby)
	p.bus.deliver("chat", "room:lobby")
	l.wants(t, "room:lobby")
	if n, _ := l.Rooms(); n != 0 {
		t.Errorf("%d of the client's rooms are used", n)
	}
	a := l.Find(system("chat"))
	if a.Leave(room("lobby")) || !a.Assigned(room("lobby")) {
		t.Error("the client has left a room of the server side's")
	}
	p.member("alice", true) // nothing has changed
	p.bus.deliver("chat", "room:lobby")
	p.member("alice", false)
	p.bus.deliver("chat", "room:lobby")
	l.wants(t, "room:lobby", leftLobby)
	p.member("bob", true) // somebody else
	p.member("alice", true)
	p.bus.deliver("chat", "room:lobby")
	l.wants(t, joinedLobby, "room:lobby")
	// The client joins the room itself: then it stays in when the membership ends.
	a.Join(room("lobby"))
	p.member("alice", false)
	p.bus.deliver("chat", "room:lobby")
	l.wants(t, "room:lobby")
	p.member("alice", true)
	a.Leave(room("lobby")) // as a new token may force it to
	p.bus.deliver("chat", "room:lobby")
	p.member("alice", false)
	p.bus.deliver("chat", "room:lobby")
	l.wants(t, joinedLobby, "room:lobby", leftLobby)
	l.End(0)
	p.member("alice", true)
	l.wants(t)
}

func TestRoomsOfTheServerSideAreResumed(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	p.SetMember(system("chat"), "lobby", "alice", true)
	l := p.begin(t, "alice", "systems=chat")
	at := l.Find(system("chat")).Cursor().String()
	l.End(0)
	p.bus.deliver("chat", "room:lobby")
	again := p.begin(t, "alice", "systems=chat&resume=chat:"+at)
	again.wants(t, joinedLobby, "room:lobby")
	again.End(0)
}

// A client without room is told of its rooms later, of each at most once, and is not closed.
func TestSlowClientsLearnOfRoomsLater(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	for i := range 300 {
		p.SetMember(system("chat"), fmt.Sprintf("r%03d", i), "alice", true)
	}
	l := p.begin(t, "alice", "systems=chat")
	if got := l.took(); len(got) != 300 {
		t.Fatalf("told of %d rooms", len(got))
	}
	l.setFull(true)
	p.member("alice", true)
	p.member("alice", false) // it has never known
	p.SetMember(system("chat"), "r000", "alice", false)
	p.member("alice", true)
	l.setFull(false)
	l.wants(t, `{"op":"left","system":"chat","room":"r000","reason":"server"}`, joinedLobby)
	l.setFull(true)
	p.member("alice", false)
	p.member("alice", true) // as before
	l.setFull(false)
	l.wants(t)
	l.End(0)
}

// Whatever comes between the checks of a session and its registration counts.
func TestNothingSlipsThroughWhileASessionIsOpened(t *testing.T) {
	final := control.Value{Code: 4123, Reason: "logged out", Final: true}
	for name, test := range map[string]struct {
		happens func(*plane)
		want    []string
	}{
		"disconnect": {func(p *plane) { p.registry.Disconnect("alice", final) }, []string{
			`{"op":"disconnect","code":4123,"reason":"logged out","reconnect":false}`, "closed 4123 logged out"}},
		"disconnect another": {func(p *plane) { p.registry.Disconnect("bob", final) }, nil},
		"block":              {func(p *plane) { p.Refuse("alice", "spam"); p.registry.Review("alice") }, []string{"closed 4003 spam"}},
		"revoke":             {func(p *plane) { p.RefuseToken("t1"); p.registry.ReviewToken("t1") }, []string{"closed 4001 the token was revoked"}},
		"revoke another":     {func(p *plane) { p.RefuseToken("t2"); p.registry.ReviewToken("t2") }, nil},
		"member":             {func(p *plane) { p.member("alice", true) }, []string{joinedLobby}},
		"member no more":     {func(p *plane) { p.member("alice", true); p.member("alice", false) }, nil},
	} {
		for _, when := range []string{"while the token is checked", "before it begins"} {
			var p *plane
			meanwhile := func() {}
			if when == "while the token is checked" {
				meanwhile = func() { test.happens(p) }
			}
			p = newPlane(t, bearers{func() { meanwhile() }}, session.Config{})
			s, err := p.open("alice/t1", "systems=chat")
			if err != nil && (name == "block" || name == "revoke") && when == "while the token is checked" {
				continue // refused before the upgrade
			} else if err != nil {
				t.Fatal(err)
			}
			if when == "before it begins" {
				test.happens(p)
			}
			l := &listener{Session: s}
			s.Begin(l)
			if diff := cmp.Diff(test.want, l.took()); diff != "" {
				t.Errorf("%s %s: heard (+) and expected (-):\n%s", name, when, diff)
			}
			closed := len(test.want) > 0 && strings.HasPrefix(test.want[len(test.want)-1], "closed")
			if n := len(p.Attached()); (n == 0) != closed {
				t.Errorf("%s %s: counts in %d places", name, when, n)
			}
			s.End(0)
			if left := p.Attached(); len(left) > 0 {
				t.Errorf("%s %s: left %v", name, when, left)
			}
		}
	}
}

// A disconnect is for the sessions that there were, and not for those that follow.
func TestClientsMayComeBackAfterADisconnect(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	p.registry.Disconnect("alice", control.Value{})
	s, err := p.open("alice", "systems=chat")
	if err != nil {
		t.Fatal(err)
	}
	p.registry.Disconnect("bob", control.Value{})
	l := &listener{Session: s}
	s.Begin(l)
	l.wants(t)
	l.End(0)
}

// Disconnects are remembered for sessions that are being opened, but not all and not for
// ever: a session that may have missed one is asked to come back.
func TestForgottenDisconnectsSendSessionsAway(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	s, err := p.open("alice", "systems=chat")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_001 {
		p.registry.Disconnect(fmt.Sprint("user", i), control.Value{})
	}
	l := &listener{Session: s}
	s.Begin(l)
	l.wants(t, "closed 1001 ")
	s.End(0)
	late := p.begin(t, "user1", "systems=chat") // opened after its own disconnect
	late.wants(t)
	late.End(0)
}

func TestDisconnectsFindTheirSessions(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	first, second := p.begin(t, "alice", "systems=chat"), p.begin(t, "alice", "systems=chat")
	if p.registry.DisconnectSession("nobody", control.Value{}) || !p.registry.DisconnectSession(second.ID, control.Value{Code: 9}) {
		t.Error("the wrong session")
	}
	second.wants(t, `{"op":"disconnect","code":4009,"reason":"disconnected","reconnect":true}`, "closed 4009 disconnected")
	third := p.begin(t, "alice", "systems=chat") // the lookup is kept up to date
	second.End(4009)
	if p.registry.DisconnectSession(second.ID, control.Value{}) || !p.registry.DisconnectSession(third.ID, control.Value{Code: 4200}) {
		t.Error("the wrong session")
	}
	third.End(4200)
	if n := p.registry.Disconnect("alice", control.Value{Reason: "a\xffb"}); n != 1 {
		t.Errorf("%d sessions", n)
	}
	first.wants(t, `{"op":"disconnect","code":4009,"reason":"a?b","reconnect":true}`, "closed 4009 a?b")
	first.End(4009)
	if closed := p.registry.Stats().Closed; closed[4009] != 3 || len(closed) != 1 {
		t.Errorf("codes that others choose are counted as %v", closed)
	}
}

func TestRefusalsEndSessionsAndTurnClientsAway(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	one, other := p.begin(t, "alice/t1", "systems=chat"), p.begin(t, "alice/t2", "systems=chat")
	p.RefuseToken("t1")
	p.registry.ReviewToken("t1")
	one.wants(t, "closed 4001 the token was revoked")
	other.wants(t)
	// A session is found by its new token, and not by the old one.
	if grant, err := other.Refresh(t.Context(), "alice/t3"); err != nil {
		t.Fatal(err)
	} else {
		other.Renew(grant)
	}
	p.RefuseToken("t2")
	p.registry.ReviewToken("t2")
	other.wants(t)
	if _, err := other.Refresh(t.Context(), "alice/t1"); err == nil {
		t.Error("a revoked token renews a session")
	}
	p.RefuseToken("t3")
	p.registry.ReviewToken("t3")
	other.wants(t, "closed 4001 the token was revoked")
	third := p.begin(t, "alice/t4", "systems=chat")
	p.Refuse("alice", "")
	p.registry.Review("alice")
	third.wants(t, "closed 4003 blocked")
	for _, l := range []*listener{one, other, third} {
		l.End(0)
	}
	for token, want := range map[string]struct {
		code   int
		detail string
	}{"alice": {403, `"detail":"blocked"`}, "bob/t1": {401, `"detail":"the token was revoked"`}} {
		_, err := p.open(token, "systems=chat")
		r := request(token)
		if code, body := status(p.registry, r, err); code != want.code || !strings.Contains(body, want.detail) {
			t.Errorf("%s: %d %s", token, code, body)
		}
	}
	if reasons := p.registry.Stats().Reasons; reasons["blocked"] != 1 || reasons["revoked"] != 2 {
		t.Errorf("counted %v", reasons)
	}
	p.Refuse("alice", "spam")
	_, err := p.open("alice", "systems=chat")
	if _, body := status(p.registry, request("alice"), err); !strings.Contains(body, `"detail":"blocked: spam"`) {
		t.Error(body)
	}
	p.Admit("alice")
	p.begin(t, "alice", "systems=chat").End(0)
}
