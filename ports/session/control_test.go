package session_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/session/sessiontest"
)

func room(name string) domain.Target {
	t, err := domain.RoomTarget(name)
	if err != nil {
		panic(err)
	}
	return t
}

func place(sys, room string) control.Place { return control.Place{System: system(sys), Room: room} }

// bearers accepts "alice" and "alice/jti", after what a test wants to happen meanwhile.
type bearers struct{ meanwhile func() }

func (b bearers) Authenticate(_ context.Context, token string) (domain.Grant, error) {
	if b.meanwhile != nil {
		b.meanwhile()
	}
	user, jti, _ := strings.Cut(token, "/")
	return domain.Grant{User: user, Token: jti, Systems: []string{"*"}, Rooms: []string{"*/*"}, Presence: []string{"*/*"}}, nil
}

// A bus is one on which the test publishes.
type bus struct {
	mu      sync.Mutex
	streams map[domain.System]*stream.Stream // guarded by mu
	seq     int                              // guarded by mu
}

func (b *bus) Open(s *stream.Stream) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams[s.System()] = s
	s.Step(&domain.Entry{Kind: domain.Start, Log: 7, Position: "000"}, nil)
	return nil
}
func (b *bus) Close(*stream.Stream) {}

func (b *bus) deliver(sys, to string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	target, err := domain.ParseTarget(to)
	if err != nil {
		panic(err)
	}
	b.seq++
	id := fmt.Sprintf("m%d", b.seq)
	b.streams[system(sys)].Step(&domain.Entry{Position: domain.Position(fmt.Sprintf("%06d", b.seq)), Time: time.Now()},
		&domain.Message{ID: id, To: []domain.Target{target}, Data: []byte(`"` + to + `"`), ContentType: domain.JSON})
}

// A plane is a registry with a control plane that the test sets.
type plane struct {
	*sessiontest.Control
	registry *session.Registry
	bus      *bus
}

func newPlane(t testing.TB, auth session.Authenticator, cfg session.Config) *plane {
	t.Helper()
	p := &plane{Control: &sessiontest.Control{}, bus: &bus{streams: make(map[domain.System]*stream.Stream)}}
	cfg.Control = p.Control
	cfg.Presence = func(s domain.System) bool { return s != system("orders") }
	var err error
	hub := stream.NewHub(p.bus, stream.HubConfig{Any: true})
	if p.registry, err = session.New(hub, auth, cfg, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *plane) open(token, query string) (*session.Session, error) {
	r := httptest.NewRequest("GET", "http://bus.example.com/ws?"+query, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return p.registry.Open(r, v1)
}

// begin makes a session, with the client that it talks to.
func (p *plane) begin(t testing.TB, token, query string) *listener {
	t.Helper()
	s, err := p.open(token, query)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{Session: s}
	s.Begin(l)
	return l
}

// A listener is a client that notes what it is sent, as long as there is room.
type listener struct {
	*session.Session
	mu    sync.Mutex
	full  bool
	heard []string // guarded by mu
	code  int      // guarded by mu
	ended bool
}

func (l *listener) hear(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full || l.code != 0 {
		return false
	}
	l.heard = append(l.heard, what)
	return true
}

func (l *listener) Offer(_ *session.Attachment, f stream.Frame) bool {
	_, data, _ := strings.Cut(string(f.Bytes), `"data":`)
	return l.hear(strings.Trim(data, `"}`))
}
func (l *listener) Offered() uint64                                            { return 0 }
func (l *listener) SendCursor(*session.Attachment, domain.Cursor, uint64) bool { return true }
func (l *listener) NotifyIfRoom(op []byte) bool                                { return l.hear(string(op)) }
func (l *listener) Notify(op []byte)                                           { l.hear(string(op)) }
func (l *listener) GoAway(time.Duration)                                       { l.Close(session.CloseGoingAway, "") }
func (l *listener) Abort()                                                     {}

func (l *listener) Disconnect(code int, reason string, final bool) {
	l.Notify(session.DisconnectNotice(code, reason, final))
	l.Close(code, reason)
}

func (l *listener) Close(code int, reason string) {
	l.hear(fmt.Sprintf("closed %d %s", code, reason))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.code == 0 {
		l.code = code
	}
}

func (l *listener) closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.code != 0
}

// setFull makes room or takes it; when there is room again, the session fills, as ports do.
func (l *listener) setFull(full bool) {
	l.mu.Lock()
	l.full = full
	l.mu.Unlock()
	if !full {
		l.Fill()
	}
}

// took returns what was heard since the last call, without hello.
func (l *listener) took() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.DeleteFunc(l.heard, func(op string) bool { return strings.HasPrefix(op, `{"op":"hello"`) })
	if l.heard = nil; len(all) == 0 {
		return nil
	}
	return all
}

func (l *listener) wants(t *testing.T, ops ...string) {
	t.Helper()
	if diff := cmp.Diff(ops, l.took()); diff != "" {
		t.Errorf("heard (+) and expected (-):\n%s", diff)
	}
}

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

// wanted returns what has to be counted for a session.
func (l *listener) wanted(p *plane, counts map[sessiontest.Attached]int) {
	for _, a := range l.Attachments() {
		if !a.HasPresence() {
			continue
		}
		rooms := p.Control.Rooms(l.User, a.System())
		for _, r := range a.Rooms() {
			rooms = append(rooms, r.Name())
		}
		slices.Sort(rooms)
		for _, name := range append(slices.Compact(rooms), "") {
			counts[sessiontest.Attached{Place: control.Place{System: a.System(), Room: name}, User: l.User}]++
		}
	}
}

// Whatever sessions do and however they end, what is counted is what there is.
func TestPresenceIsCountedExactly(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	pick := func(all ...string) string { return all[random.IntN(len(all))] }
	for range 30 {
		p := newPlane(t, bearers{}, session.Config{SessionsPerUser: 3, Drain: time.Millisecond})
		var live []*listener
		for range 200 {
			user := pick("alice", "bob")
			switch step := random.IntN(10); {
			case step == 0:
				p.SetMember(system(pick("chat", "shop")), pick("a", "b"), user, random.IntN(2) == 0)
				p.registry.Review(user)
			case step == 1:
				if s, err := p.open(user, "systems=chat,shop&rooms=chat/a"); err == nil {
					s.End(0) // it never begins, as when the connection cannot be taken over
				}
			case step == 2:
				p.registry.Disconnect(user, control.Value{})
			case step < 5:
				if s, err := p.open(user, pick("systems=chat", "systems=chat,shop,orders&rooms=chat/a,orders/b")); err == nil {
					if random.IntN(8) == 0 {
						p.registry.Disconnect(user, control.Value{})
					}
					l := &listener{Session: s}
					s.Begin(l)
					live = append(live, l)
				}
			case len(live) > 0:
				live[random.IntN(len(live))].step(random, pick)
			}
			live = slices.DeleteFunc(live, func(l *listener) bool {
				if l.closed() && !l.ended {
					l.End(l.code)
					l.ended = true
				}
				return l.ended
			})
			want := make(map[sessiontest.Attached]int)
			for _, l := range live {
				l.wanted(p, want)
			}
			if diff := cmp.Diff(want, maps.Clone(p.Attached()), cmp.Comparer(func(a, b domain.System) bool { return a == b })); diff != "" && len(want)+len(p.Attached()) > 0 {
				t.Fatalf("counted (+) and expected (-):\n%s", diff)
			}
		}
		drained := make(chan error, 1)
		go func() { drained <- p.registry.Drain(t.Context()) }()
		for _, l := range live {
			for !l.closed() {
				<-time.After(time.Millisecond)
			}
			l.End(session.CloseGoingAway)
		}
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
		if left, faults := p.Attached(), p.Faults(); len(left)+len(faults) > 0 {
			t.Fatalf("left %v, faults %v", left, faults)
		}
	}
}

// step lets the client do something.
func (l *listener) step(random *rand.Rand, pick func(...string) string) {
	a := l.Find(system(pick("chat", "shop")))
	r := room(pick("a", "b", "c"))
	switch step := random.IntN(10); {
	case step == 0:
		l.End(0)
		l.ended = true
	case step == 1:
		gone := system(pick("chat", "shop"))
		l.Keep(func(a *session.Attachment) bool { return a.System() != gone })
	case a == nil:
	case step < 5:
		a.Join(r)
	case step < 7:
		a.JoinSince(r, a.Cursor(), []byte(`{}`))
	default:
		a.Leave(r)
	}
}

// The same while everything happens at once, for the race detector.
func TestPresenceIsBalancedWhileEverythingHappensAtOnce(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{SessionsPerUser: 400})
	stop := make(chan struct{})
	var others, sessions sync.WaitGroup
	again := func(act func(*rand.Rand)) {
		random := rand.New(rand.NewPCG(rand.Uint64(), 2))
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					act(random)
				}
			}
		})
	}
	users := []string{"alice", "bob"}
	again(func(r *rand.Rand) {
		user := users[r.IntN(2)]
		p.SetMember(system("chat"), fmt.Sprint("r", r.IntN(4)), user, r.IntN(2) == 0)
		p.registry.Review(user)
	})
	again(func(r *rand.Rand) {
		p.registry.PresenceChanged(control.Change{Place: place("chat", "a"), Count: r.IntN(2000), Joined: []string{"eve"}})
		p.bus.mu.Lock()
		s := p.bus.streams[system("chat")]
		p.bus.mu.Unlock()
		if s != nil {
			p.bus.deliver("chat", "room:r1")
		}
	})
	again(func(r *rand.Rand) {
		p.registry.ReviewToken("t1")
		if r.IntN(50) == 0 {
			p.registry.Disconnect(users[r.IntN(2)], control.Value{})
		}
		p.registry.Stats()
	})
	for i := range 6 {
		random := rand.New(rand.NewPCG(uint64(i), rand.Uint64()))
		pick := func(all ...string) string { return all[random.IntN(len(all))] }
		sessions.Go(func() {
			for range 100 {
				s, err := p.open(pick("alice/t1", "bob/t2"), "systems=chat,shop&rooms=chat/a")
				if err != nil {
					continue
				}
				l := &listener{Session: s}
				s.Begin(l)
				for range 10 {
					l.Watch(place("chat", pick("a", "b")), pick("u", "") == "u", []byte(`{}`))
					if l.step(random, pick); l.ended {
						break
					}
				}
				if !l.ended {
					l.End(0)
				}
			}
		})
	}
	sessions.Wait()
	close(stop)
	others.Wait()
	if left, faults, watched := p.Attached(), p.Faults(), p.Watched(); len(left)+len(faults)+watched > 0 {
		t.Errorf("left %v, faults %v, %d places are watched", left, faults, watched)
	}
}
