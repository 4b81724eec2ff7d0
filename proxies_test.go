package fanfare_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare"
)

// Behind a load balancer all connections come from one address. A client that
// is refused too often must not lock out the others.
func TestRefusalsCountPerClientBehindAProxy(t *testing.T) {
	cfg := fanfare.Config{Proxies: []string{"192.0.2.0/24"}}
	cfg.Auth.JWT.Secret = fanfare.Secret(strings.Repeat("s", 32))
	g, err := fanfare.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	connect := func(from string) int {
		r := httptest.NewRequest(http.MethodGet, "/ws?systems=orders", nil) // from 192.0.2.1
		r.Header.Set("X-Forwarded-For", from)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Code
	}
	limited := false
	for range 200 {
		limited = limited || connect("198.51.100.7") == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("a client that is refused over and over was never limited")
	}
	if code := connect("198.51.100.8"); code == http.StatusTooManyRequests {
		t.Error("a client was limited for the refusals of another behind the same proxy")
	}
}
