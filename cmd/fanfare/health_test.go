package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/freeport"
)

func TestHealthOfARealNode(t *testing.T) {
	n := node(t, nil, "dev")
	env := []string{"FANFARE_LISTEN=" + strings.TrimPrefix(n.url(), "http://")}
	var got result
	n.until("a node that is ready", func() bool { got = fanfareWith(t, "", env, "health"); return got.code == 0 })
	if got.out != "ready\n" || got.err != "" {
		t.Errorf("a ready node: %+v", got)
	}
	for name, args := range map[string][]string{
		"from the environment": {"health", "--live"},
		"from a flag":          {"health", "--live", "--listen", "127.0.0.1:1", "--admin_listen", strings.TrimPrefix(n.url(), "http://")},
		"from a file":          {"health", "--live", "--config", write(t, "limits: {sessions: 5}\n")},
		"by its URL":           {"health", "--live", "--listen", "127.0.0.1:1", "--url", n.url() + "/"},
	} {
		if got := fanfareWith(t, "", env, args...); got.code != 0 || got.out != "ok\n" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestHealthSaysWhatIsWrong(t *testing.T) {
	answers := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	gone := freeport.Address(t)
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"draining":      {[]string{"--url", answers(503, `{"status":"draining","bus":"up"}`)}, 1, "/readyz: draining"},
		"deaf":          {[]string{"--url", answers(503, `{"status":"deaf","bus":"up","deaf":["a","b"]}`)}, 1, "deaf, deaf: a, b"},
		"no bus":        {[]string{"--url", answers(200, `{"status":"ready","bus":"down"}`)}, 0, "ready, the bus is down"},
		"something":     {[]string{"--url", answers(200, `<html>`)}, 1, "200 OK, and not a node's answer"},
		"nobody":        {[]string{"--url", "http://" + gone}, 1, "no node answers at http://" + gone + "/readyz: dial tcp " + gone + ": connect: connection refused: does it run"},
		"silence":       {[]string{"--url", silent.URL, "--timeout", "50ms", "--live"}, 1, "/healthz: no answer within 50ms"},
		"no time":       {[]string{"--timeout", "0s"}, 2, "--timeout: 0s: want more than 0"},
		"no known port": {[]string{"--listen", "127.0.0.1:0"}, 2, "name it with --url"},
		"bad address":   {[]string{"--admin_listen", "9090"}, 2, "admin_listen: address 9090: missing port"},
	} {
		got := fanfareRun(t, append([]string{"health"}, tt.args...)...)
		if got.code != tt.code || !strings.Contains(got.out+got.err, tt.want) {
			t.Errorf("%s: %+v; want %d and %q", name, got, tt.code, tt.want)
		}
	}
}

func TestWhereANodeAnswersItsOwnMachine(t *testing.T) {
	for _, tt := range []struct{ listen, admin, want string }{
		{"127.0.0.1:8080", "", "http://127.0.0.1:8080"},
		{":8080", "", "http://127.0.0.1:8080"},
		{"0.0.0.0:8080", ":9090", "http://127.0.0.1:9090"},
		{":8080", "[::]:9090", "http://[::1]:9090"},
		{":8080", "10.0.0.7:9090", "http://10.0.0.7:9090"},
		{":8080", "node.internal:9090", "http://node.internal:9090"},
	} {
		got, err := ownURL(fanfare.Config{Listen: tt.listen, AdminListen: tt.admin})
		if err != nil || got != tt.want {
			t.Errorf("%q, %q: %q, %v; want %q", tt.listen, tt.admin, got, err, tt.want)
		}
	}
}
