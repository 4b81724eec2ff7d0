package session_test

import (
	"context"
	"fmt"
	"log/slog"
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
	return newLoggingPlane(t, auth, cfg, slog.DiscardHandler)
}

func newLoggingPlane(
	t testing.TB, auth session.Authenticator, cfg session.Config, log slog.Handler,
) *plane {
	t.Helper()
	p := &plane{Control: &sessiontest.Control{}, bus: &bus{streams: make(map[domain.System]*stream.Stream)}}
	cfg.Control = p.Control
	cfg.Presence = func(s domain.System) bool { return s != system("orders") }
	var err error
	hub := stream.NewHub(p.bus, stream.HubConfig{Any: true})
	if p.registry, err = session.New(hub, auth, cfg, slog.New(log)); err != nil {
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

	unwritten [][]byte // what Unwritten shows
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
func (l *listener) OfferNoted(a *session.Attachment, f stream.Frame, _ *stream.Note) bool {
	return l.Offer(a, f)
}
func (l *listener) Offered() uint64                                            { return 0 }
func (l *listener) SendCursor(*session.Attachment, domain.Cursor, uint64) bool { return true }
func (l *listener) Port() string                                               { return "ws" }
func (l *listener) Pending() (frames, bytes int)                               { return 0, 0 }
func (l *listener) NotifyIfRoom(op []byte) bool                                { return l.hear(string(op)) }
func (l *listener) Notify(op []byte)                                           { l.hear(string(op)) }
func (l *listener) GoAway(_, _ time.Duration)                                  { l.Close(session.CloseGoingAway, "") }
func (l *listener) Abort()                                                     {}

func (l *listener) Unwritten(each func([]byte) bool) {
	for _, frame := range l.unwritten {
		if !each(frame) {
			return
		}
	}
}

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
