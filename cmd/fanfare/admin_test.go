package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare"
)

func TestMetricsAndDocsAreNotForEverybody(t *testing.T) {
	const (
		loopback = "127.0.0.1:8080"
		beyond   = "0.0.0.0:8080"
	)
	plain := func(*fanfare.Config, *http.Request) {}
	header := func(name, value string) func(*fanfare.Config, *http.Request) {
		return func(_ *fanfare.Config, r *http.Request) { r.Header.Set(name, value) }
	}
	for name, tt := range map[string]struct {
		listen string
		change func(*fanfare.Config, *http.Request)
		want   int
		logged bool
	}{
		"this machine alone":       {loopback, plain, 200, false},
		"this machine alone, IPv6": {"[::1]:8080", plain, 200, false},
		"by another name":          {loopback, func(_ *fanfare.Config, r *http.Request) { r.Host = "evil.example" }, 404, false},
		"by a proxy":               {loopback, header("X-Forwarded-For", "192.0.2.1"), 404, false},
		"by another proxy":         {loopback, header("Via", "1.1 proxy"), 404, false},
		"beyond":                   {beyond, plain, 404, true},
		"beyond, IPv6":             {"[::]:8080", plain, 404, true},
		"public": {beyond, func(c *fanfare.Config, r *http.Request) {
			c.Admin.Public, r.RemoteAddr, r.Host = true, "192.0.2.1:1", "push.example.com"
		}, 200, false},
		"elsewhere": {loopback, func(c *fanfare.Config, _ *http.Request) { c.AdminListen = "127.0.0.1:9090" }, 404, false},
		"elsewhere and public": {loopback, func(c *fanfare.Config, _ *http.Request) {
			c.Admin.Public, c.AdminListen = true, "127.0.0.1:9090"
		}, 200, false},
		"development": {loopback, func(c *fanfare.Config, _ *http.Request) { c.Dev = true }, 200, false},
	} {
		for _, path := range []string{"/metrics", "/docs", "/openapi.json", "/console"} {
			cfg := fanfare.Config{}
			cfg.Auth.JWT.Secret = fanfare.Secret(strings.Repeat("s", 32))
			r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080"+path, nil)
			r.RemoteAddr = "127.0.0.1:50000"
			tt.change(&cfg, r)
			node, err := fanfare.New(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			var lines strings.Builder
			h := publicHandler(node, cfg, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(tt.listen)),
				slog.New(slog.NewTextHandler(&lines, nil)))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			_ = node.Close()
			if w.Code != tt.want {
				t.Errorf("%s, %s: %d, want %d", name, path, w.Code, tt.want)
			}
			for _, setting := range []string{"admin_listen", "admin.public"} {
				if w.Code == 404 && !strings.Contains(w.Body.String(), setting) {
					t.Errorf("%s, %s: the answer does not name %s: %s", name, path, setting, w.Body)
				}
				if strings.Contains(lines.String(), setting) != tt.logged {
					t.Errorf("%s: the log says %q", name, lines.String())
				}
			}
		}
	}
}
