package session_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

// A page that is allowed only because all are must not ride on a user's cookie.
func TestCookieNeedsAnOriginThatIsNamed(t *testing.T) {
	for _, tt := range []struct {
		origins []string
		origin  string
		want    bool
	}{
		{[]string{"*"}, "https://evil.example.net", false},
		{[]string{"*"}, "http://bus.example.com", true}, // this very host's
		{[]string{"*", "https://app.example.com"}, "https://app.example.com", true},
		{[]string{"https://app.example.com"}, "https://evil.example.net", false},
		{nil, "http://bus.example.com", true},
		{nil, "", false},
	} {
		hub := stream.NewHub(nobody{}, stream.HubConfig{Any: true})
		desk, err := session.New(hub, anyone{}, session.Config{Origins: tt.origins}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "http://bus.example.com/ws?systems=orders", nil)
		r.Header.Set("Cookie", "fanfare_token=alices")
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		s, err := desk.Open(r, func() (session.Terms, error) { return session.Terms{}, nil })
		if (err == nil) != tt.want {
			t.Errorf("origins %v, a page of %q: %v", tt.origins, tt.origin, err)
		}
		if s != nil {
			s.Leave()
		}
	}
}

type anyone struct{}

func (anyone) Authenticate(context.Context, string) (domain.Grant, error) {
	return domain.Grant{User: "alice", Systems: []string{"*"}}, nil
}

// nobody is a bus on which nothing is published.
type nobody struct{}

func (nobody) Open(s *stream.Stream) error { s.Begin(0, "", time.Time{}); return nil }
func (nobody) Close(*stream.Stream)        {}
