package fanfare_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare"
)

// Behind a load balancer all connections come from one address. A client that
// shows one wrong token after the other must not be taken for the others.
func TestWrongTokensCountPerClientBehindAProxy(t *testing.T) {
	for _, test := range []struct{ header, name, bad, good string }{
		{"", "X-Forwarded-For", "198.51.100.7", "198.51.100.8"},
		{"", "X-Forwarded-For", "198.51.100.7:1, 192.0.2.9:2", "198.51.100.8:1"},
		{"X-Real-IP", "X-Real-Ip", "198.51.100.7", "198.51.100.8"},
		{"Forwarded", "Forwarded", `for="[2001:db8::1]:1"`, `for="[2001:db8:1::1]:1"`},
	} {
		cfg := fanfare.Config{Proxies: []string{"192.0.2.0/24"}, ProxyHeader: test.header}
		cfg.Auth.JWT.Secret = fanfare.Secret(strings.Repeat("s", 32))
		g, err := fanfare.New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		connect := func(from string) int {
			r := httptest.NewRequest(http.MethodGet, "/sse?systems=orders", nil) // from 192.0.2.1
			r.Header.Set(test.name, from)
			r.Header.Set("Authorization", "Bearer wrong")
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			return w.Code
		}
		limited := false
		for range 200 {
			limited = limited || connect(test.bad) == http.StatusTooManyRequests
		}
		if !limited {
			t.Errorf("%+v: a client that is wrong over and over was never limited", test)
		}
		if code := connect(test.good); code != http.StatusUnauthorized {
			t.Errorf("%+v: %d: a client was limited for what another behind the same proxy did", test, code)
		}
	}
}
