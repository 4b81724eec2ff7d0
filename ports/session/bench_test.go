package session_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
)

// BenchmarkOpen makes sessions of requests that bear tokens, and ends them.
func BenchmarkOpen(b *testing.B) {
	jwt, err := auth.NewJWT(auth.JWTConfig{Secret: "a secret of at least thirty-two bytes"})
	if err != nil {
		b.Fatal(err)
	}
	token, err := jwt.Mint(domain.Grant{User: "alice", Systems: []string{"orders"}, Rooms: []string{"orders/*"}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		b.Fatal(err)
	}
	registry, _ := newRegistry(b, jwt, session.Config{SessionsPerUser: 100_000_000})
	r := httptest.NewRequest(http.MethodGet, "http://bus.example.com/ws?systems=orders", nil)
	p := v1
	p.Token = token
	b.ReportAllocs()
	for b.Loop() {
		s, err := registry.Open(r, p)
		if err != nil {
			b.Fatal(err)
		}
		s.Begin(&conn{})
		s.End(0)
	}
}
