package fanfare_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fanfarebus/fanfare"
)

// Whoever goes astray is answered like everybody else who is refused.
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
