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
	g.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
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
