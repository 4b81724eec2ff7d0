package fanfare_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare"
)

// Requests for unknown paths, and with the wrong method, are answered with the same
// kind of problem as all requests that are refused.
func TestUnknownPathsAndMethodsAreProblems(t *testing.T) {
	for name, cfg := range map[string]fanfare.Config{
		"one listener": {Dev: true}, "an admin listener": {Dev: true, AdminListen: "127.0.0.1:0"},
	} {
		g, err := fanfare.New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		for _, c := range []struct {
			admin        bool
			method, path string
			status       int
			allow        string
		}{
			{false, "GET", "/nowhere", 404, ""},
			{false, "POST", "/nowhere/at/all", 404, ""},
			{true, "GET", "/ws", 404, ""},
			{true, "GET", "/", 404, ""},
			{false, "POST", "/ws", 405, "GET"},
			{false, "PUT", "/sse", 405, "GET"},
			{false, "DELETE", "/healthz", 405, "GET, HEAD"},
			{false, "POST", "/v1/nodes", 405, "GET, HEAD"},
			{false, "POST", "/v1/users/a%2Fb/block", 405, "DELETE, GET, HEAD, PUT"},
			{false, "PUT", "/v1/systems/chat/presence", 405, "GET, HEAD, POST"},
			{false, "GET", "/v1/users/a", 404, ""},
			{true, "POST", "/v1/nodes", 405, "GET, HEAD"}, // the console asks here
			{true, "GET", "/v1/users/a", 404, ""},
			{true, "POST", "/v1/systems/chat/messages", 404, ""},
			{true, "PUT", "/readyz", 405, "GET, HEAD"},
			{true, "PUT", "/metrics", 405, "GET, HEAD"},
			{true, "PUT", "/docs", 405, "GET, HEAD"},
			{true, "PUT", "/openapi.json", 405, "GET, HEAD"},
		} {
			h := g.Handler()
			if c.admin {
				h = g.AdminHandler()
			}
			r := httptest.NewRequest(c.method, "http://127.0.0.1"+c.path, nil)
			r.RemoteAddr = "127.0.0.1:1"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			var p struct {
				Status        int
				Title, Detail string
			}
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %s %s: %s %s", name, c.method, c.path, w.Header().Get("Content-Type"), w.Body)
			}
			if w.Code != c.status || p.Status != c.status || p.Title != http.StatusText(c.status) || p.Detail == "" || w.Header().Get("Allow") != c.allow {
				t.Errorf("%s: %s %s: %d, allow %q, %+v", name, c.method, c.path, w.Code, w.Header().Get("Allow"), p)
			}
		}
	}
}

// Answers repeat names that others chose. So no browser may guess that an answer is
// a script.
func TestEveryAnswerSaysThatItIsNotToBeGuessedAt(t *testing.T) {
	for name, cfg := range map[string]fanfare.Config{
		"development": {Dev: true},
		"with auth":   {Auth: fanfare.AuthConfig{JWT: fanfare.JWTConfig{Secret: fanfare.Secret(strings.Repeat("s", 32))}}},
	} {
		g, err := fanfare.New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		for _, h := range []http.Handler{g.Handler(), g.AdminHandler()} {
			for _, path := range []string{"/", "/nowhere", "/ws", "/sse?systems=orders", "/healthz", "/readyz", "/metrics", "/docs",
				"/openapi.json", "/v1/systems/orders/messages", "/v1/x", "/v1/nodes", "/v1/users/a/disconnect", "//double", "/..", "/docs/"} {
				for _, method := range []string{"GET", "POST", "OPTIONS"} {
					for _, host := range []string{"127.0.0.1", "evil.example"} {
						ctx, cancel := context.WithCancel(t.Context())
						cancel() // streams end at once
						r := httptest.NewRequestWithContext(ctx, method, "http://"+host+path, nil)
						r.RemoteAddr = "127.0.0.1:1"
						w := httptest.NewRecorder()
						h.ServeHTTP(w, r)
						if got := w.Header().Values("X-Content-Type-Options"); len(got) != 1 || got[0] != "nosniff" {
							t.Errorf("%s: %s %s%s: %d without nosniff: %v", name, method, host, path, w.Code, got)
						}
					}
				}
			}
		}
	}
}

func TestOnlyADevelopmentNodeShowsAPage(t *testing.T) {
	protected := fanfare.Config{}
	protected.Auth.JWT.Secret = fanfare.Secret(strings.Repeat("s", 32))
	get := func(cfg fanfare.Config, path string, header ...string) *httptest.ResponseRecorder {
		t.Helper()
		g, err := fanfare.New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080"+path, nil)
		r.RemoteAddr = "127.0.0.1:50000"
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w
	}
	if w := get(protected, "/"); w.Code != http.StatusNotFound {
		t.Errorf("a protected node answers / with %d", w.Code)
	}
	dev := fanfare.Config{Dev: true}
	w := get(dev, "/")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `data-systems="orders,chat"`) {
		t.Errorf("a development node answers / with %d: %.80s", w.Code, w.Body)
	}
	if w := get(dev, "/other"); w.Code != http.StatusNotFound {
		t.Errorf("a development node answers /other with %d", w.Code)
	}
	if w := get(dev, "/", "X-Forwarded-For", "192.0.2.1"); w.Code != http.StatusForbidden {
		t.Errorf("a development node shows its page through a tunnel: %d", w.Code)
	}
	dev.AdminListen = "127.0.0.1:9090"
	if w := get(dev, "/"); strings.Contains(w.Body.String(), `"/docs"`) {
		t.Error("the page leads to documentation that another listener serves")
	}
}
