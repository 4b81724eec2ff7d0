package session_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A shelf is a History that knows the window, and says that something is missing.
type shelf struct {
	missing domain.GapReason
	asked   []string
}

func (h *shelf) Newest(
	_ context.Context, s *stream.Stream, asker stream.Asker, targets []domain.Target, last stream.Last,
) (domain.Cursor, domain.GapReason) {
	kinds := map[string]int{}
	for _, t := range targets {
		kinds[t.Kind()]++
	}
	h.asked = append(h.asked, fmt.Sprintf("%s: %v for %v, by %s", s.System(), last, kinds, asker.User))
	return s.Newest(targets, domain.Cursor{}, max(1, last.Count)).At, h.missing
}

func TestASessionBeginsWithTheLastMessages(t *testing.T) {
	h := &shelf{}
	p := newPlane(t, bearers{}, session.Config{History: h})
	first := p.begin(t, "alice", "systems=chat") // so that the system is open
	for range 3 {
		for _, to := range []string{"user:alice", "user:bob", "room:a", "*"} {
			p.bus.deliver("chat", to)
		}
	}
	hello := func(l *listener) string { return l.heard[0] }
	l := p.begin(t, "alice", "systems=chat,news&last=chat:2&rooms=chat/a")
	if got := hello(l); strings.Count(got, `"last":{"complete":true}`) != 1 || strings.Contains(got, `"resumed":true`) {
		t.Errorf("hello is %s", got)
	}
	l.wants(t, "room:a", "*")
	p.bus.deliver("chat", "user:alice")
	l.wants(t, "user:alice")

	h.missing = domain.TooFar
	l = p.begin(t, "alice", "systems=chat&last=chat:5m")
	if got := hello(l); !strings.Contains(got, `"last":{"complete":false,"reason":"too_far"}`) {
		t.Errorf("hello is %s", got)
	}
	want := []string{
		"chat: {2 0s} for map[*:1 room:1 session:1 user:1], by alice",
		"chat: {0 5m0s} for map[*:1 session:1 user:1], by alice",
	}
	if diff := cmp.Diff(want, h.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}

	at := first.Attachments()[0].Cursor().String()
	l = p.begin(t, "alice", "systems=chat&last=chat:1&resume=chat:"+at)
	if got := hello(l); strings.Contains(got, "last") || !strings.Contains(got, `"resumed":true`) || len(h.asked) != 2 {
		t.Errorf("a cursor comes first: hello is %s, asked %v", got, h.asked)
	}
	if got := l.took(); len(got) != 7 { // three for alice, three for everyone, and one for alice again
		t.Errorf("with the cursor from the beginning: %v", got)
	}
}

func TestWhoKeepsNoHistorySaysSo(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{})
	l := p.begin(t, "alice", "systems=chat&last=chat:2")
	if got := l.heard[0]; !strings.Contains(got, `"last":{"complete":false,"reason":"too_far"}`) {
		t.Errorf("hello is %s", got)
	}
	p.bus.deliver("chat", "user:alice")
	l.wants(t, "user:alice")
}

func TestLastIsReadStrictly(t *testing.T) {
	p := newPlane(t, bearers{}, session.Config{History: &shelf{}})
	for query, status := range map[string]int{
		"last=chat:1": 200, "last=chat:1000": 200, "last=chat:5m": 200, "last=chat:1h30m,news:20": 200,
		"last=": 200, "last=chat:5&last=news:6": 200, "last=chat:5,chat:5": 200,
		"last=chat:0": 422, "last=chat:1001": 422, "last=chat:-5": 422, "last=chat:-5m": 422, "last=chat:0s": 422,
		"last=chat": 422, "last=20": 422, "last=chat:": 422, "last=chat:x": 422, "last=chat:9000h": 422,
		"last=orders:5": 422, "last=chat:5,": 422, "last=chat:5,chat:6": 422,
	} {
		s, err := p.open("alice", "systems=chat,news&"+query)
		if s != nil {
			s.End(0)
		}
		if got, detail := status2(p, err); got != status {
			t.Errorf("%s: %d %s, want %d", query, got, detail, status)
		}
	}
	plain := httptest.NewRequest(http.MethodGet, "http://bus.example.com/ws?systems=chat&last=chat:1", nil)
	plain.Header.Set("Authorization", "Bearer alice")
	if _, err := p.registry.Open(plain, session.Protocol{Encoder: session.V1Encoder{}, Plain: true}); err == nil {
		t.Error("a plain client cannot be told whether all comes")
	}
}

func status2(p *plane, err error) (int, string) { return status(p.registry, request(""), err) }

func TestWhatAClientMayRead(t *testing.T) {
	p := newPlane(t, narrow{}, session.Config{})
	p.SetMember(system("chat"), "club", "alice", true)
	ask := func(query string, header ...string) (stream.Asker, func(domain.Target) bool, int) {
		r := httptest.NewRequest(http.MethodGet, "http://bus.example.com/v1/systems/chat/messages?"+query, nil)
		r.RemoteAddr = "192.0.2.7:1"
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		asker, may, err := p.registry.MayRead(r, system("chat"))
		code, _ := status(p.registry, r, err)
		return asker, may, code
	}
	asker, may, code := ask("", "Authorization", "Bearer alice")
	if code != 200 || asker != (stream.Asker{User: "alice", Address: "192.0.2.7"}) {
		t.Fatalf("%d, %+v", code, asker)
	}
	for name, want := range map[string]bool{
		"user:alice": true, "*": true, "room:lobby": true, "room:club": true,
		"user:bob": false, "room:other": false, "session:x": false, "user:alic": false, "room:alice": false,
	} {
		target, err := domain.ParseTarget(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := may(target); got != want {
			t.Errorf("alice may read %s: %v", name, got)
		}
	}
	for what, c := range map[string]struct {
		query, token, origin string
		code                 int
	}{
		"no token":            {"", "", "", 401},
		"a wrong token":       {"", "wrong", "", 401},
		"another system":      {"", "guest", "", 403},
		"a foreign page":      {"", "alice", "https://evil.example", 403},
		"its own page":        {"", "alice", "http://bus.example.com", 200},
		"a token where none":  {"token=alice", "alice", "", 422},
		"another user's name": {"user=bob", "alice", "", 422},
		"its own name":        {"user=alice", "alice", "", 200},
	} {
		header := []string{"Origin", c.origin}
		if c.token != "" {
			header = append(header, "Authorization", "Bearer "+c.token)
		}
		if _, _, code := ask(c.query, header...); code != c.code {
			t.Errorf("%s: %d, want %d", what, code, c.code)
		}
	}
	p.Refuse("alice", "")
	if _, _, code := ask("", "Authorization", "Bearer alice"); code != 403 {
		t.Errorf("blocked: %d", code)
	}
}

// narrow knows alice, who may be in the lobby, and a guest, who may not hear chat.
type narrow struct{}

func (narrow) Authenticate(_ context.Context, token string) (domain.Grant, error) {
	switch token {
	case "alice":
		return domain.Grant{User: token, Systems: []string{"chat"}, Rooms: []string{"chat/lobby"}}, nil
	case "guest":
		return domain.Grant{User: token, Systems: []string{"news"}, Expires: time.Now().Add(time.Hour)}, nil
	}
	return domain.Grant{}, domain.ErrUnauthenticated
}
