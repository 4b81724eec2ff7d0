package fanfare_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare"
)

// However often a client is refused, the log and the metrics stay small, show
// why, and hold no token.
func TestFloodsOfRefusalsAreBoundedInTheLogAndTheMetrics(t *testing.T) {
	var logged bytes.Buffer
	cfg := fanfare.Config{Auth: fanfare.AuthConfig{JWT: fanfare.JWTConfig{Secret: fanfare.Secret(strings.Repeat("s", 32))}}}
	g, err := fanfare.New(t.Context(), cfg, fanfare.WithLogger(slog.New(slog.NewTextHandler(&logged, nil))))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	const marker = "t0ken"
	for i := range 2000 {
		for _, r := range []*http.Request{
			httptest.NewRequest("GET", "/sse?systems=orders&token="+marker, nil),
			httptest.NewRequest("GET", "/ws?systems="+marker, nil),
			httptest.NewRequest("POST", "/v1/systems/orders/messages", nil),
		} {
			r.Header.Set("Authorization", fmt.Sprintf("Bearer %s%d.%s.x", marker, i, marker))
			r.Header.Set("Cookie", "fanfare_token="+marker)
			r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i%250)
			g.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	text := logged.String()
	if n := strings.Count(text, "\n"); n > 250 {
		t.Errorf("%d lines", n)
	}
	for _, want := range []string{"reason=malformed", "reason=no_websocket", "reason=unknown"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in the log", want)
		}
	}
	if strings.Contains(text, marker) {
		t.Error("the log holds a token")
	}
	w := httptest.NewRecorder()
	g.AdminHandler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`fanfare_refusals_total{reason="malformed"} 2000`, `fanfare_refusals_total{reason="no_websocket"} 2000`,
		`fanfare_http_unauthorized_total{reason="unknown"} 2000`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(w.Body.String(), marker) {
		t.Error("the metrics hold a token")
	}
}

// Behind a load balancer all connections come from one address. If one client sends
// wrong tokens again and again, the others must not be refused for it.
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
