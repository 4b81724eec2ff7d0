package sse_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/sse"
)

func TestRefusals(t *testing.T) {
	n := serve(t, config{registry: session.Config{FailureRate: session.Rate{Messages: 1000}, Systems: 3, Rooms: 2}})
	for _, test := range []struct {
		name, token, query string
		header             http.Header
		status             int
		detail             string
	}{
		{"no token", "", "systems=orders", nil, 401, "no valid token"},
		{"bad token", "alice/bad", "systems=orders", nil, 401, "no valid token"},
		{"expired token", "alice/ttl=-1s", "systems=orders", nil, 401, "no valid token"},
		{"query token that is off", "", "systems=orders&token=alice", nil, 401, "no valid token"},
		{"system not in the token", "alice/orders", "systems=chat", nil, 403, "system chat"},
		{"foreign origin", "alice", "systems=orders", http.Header{"Origin": {"https://evil.example"}}, 403, "origin"},
		{"cookie from nowhere", "", "systems=orders", http.Header{"Cookie": {"fanfare_token=alice"}}, 403, "Origin"},
		{"cookie from another site", "", "systems=orders", http.Header{"Cookie": {"fanfare_token=alice"}, "Sec-Fetch-Site": {"cross-site"}}, 403, "Origin"},
		{"system not served", "alice", "systems=unknown", nil, 404, "unknown"},
		{"no system", "alice", "", nil, 422, "systems"},
		{"too many systems", "alice", "systems=a,b,c,d", nil, 422, "at most 3"},
		{"bad room", "alice", "systems=chat&rooms=lobby", nil, 422, "rooms[0]"},
		{"bad cursor", "alice", "systems=orders&resume=orders:x", nil, 422, "resume[0]"},
		{"bad last event id", "alice", "systems=orders", http.Header{"Last-Event-Id": {"x"}}, 422, "resume[0]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := n.try(test.token, test.query, test.header)
			body, _ := io.ReadAll(s.resp.Body)
			var problem struct {
				Status int
				Detail string
			}
			if json.Unmarshal(body, &problem) != nil || s.resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("no problem+json: %v %s", s.resp.Header, body)
			}
			if s.resp.StatusCode != test.status || problem.Status != test.status || !strings.Contains(problem.Detail, test.detail) {
				t.Errorf("want %d …%s…, got %d %s", test.status, test.detail, s.resp.StatusCode, body)
			}
		})
	}
	if s := n.registry.Stats(); s.Opened != 0 || s.Rejected[401] != 4 {
		t.Errorf("stats: %+v", s)
	}
}

func TestTokenSources(t *testing.T) {
	n := serve(t, config{registry: session.Config{QueryToken: true}})
	for name, open := range map[string]func() *source{
		"header": func() *source { return n.open("alice", "systems=orders", nil) },
		"query":  func() *source { return n.open("", "systems=orders&token=alice", nil) },
		"cookie of this host": func() *source {
			return n.open("", "systems=orders", http.Header{"Cookie": {"fanfare_token=alice"}, "Sec-Fetch-Site": {"same-origin"}})
		},
		"cookie with an origin": func() *source {
			return n.open("", "systems=orders", http.Header{"Cookie": {"fanfare_token=alice"}, "Origin": {n.url}})
		},
	} {
		if hello := open().wants(`{"op":"hello"`); !strings.Contains(hello, `"user":"alice"`) {
			t.Errorf("%s: %s", name, hello)
		}
	}
}

func TestOnlyGetOpensASession(t *testing.T) {
	n := newNode(t, config{})
	defer func() { n.stop(); <-n.stopped }()
	for method, want := range map[string]int{"HEAD": 405, "POST": 405, "DELETE": 405, "GET": 503} { // 503: a recorder can not stream
		r := httptest.NewRequest(method, "/sse?systems=orders", nil)
		r.Header.Set("Authorization", "Bearer alice")
		w := httptest.NewRecorder()
		n.server.ServeHTTP(w, r)
		if w.Code != want || want == 405 && w.Header().Get("Allow") != "GET" {
			t.Errorf("%s: %d %v, want %d", method, w.Code, w.Header(), want)
		}
	}
	if s := n.registry.Stats(); s.Sessions != 0 || s.Opened != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestPagesOfAllowedOriginsMayRead(t *testing.T) {
	for _, test := range []struct {
		origins        []string
		origin         string
		status         int
		allowed, creds string
	}{
		{[]string{"https://app.example"}, "https://app.example", 200, "https://app.example", "true"},
		{[]string{"https://app.example"}, "https://evil.example", 403, "", ""},
		{[]string{"https://app.example", "*"}, "https://app.example", 200, "https://app.example", "true"},
		{[]string{"*"}, "https://other.example", 200, "*", ""}, // no cookies from just anywhere
		{nil, "https://other.example", 403, "", ""},
		{nil, "", 200, "", ""},
	} {
		n := serve(t, config{registry: session.Config{Origins: test.origins}})
		header := http.Header{}
		if test.origin != "" {
			header.Set("Origin", test.origin)
		}
		s := n.try("alice", "systems=orders", header)
		h := s.resp.Header
		if s.resp.StatusCode != test.status || h.Get("Access-Control-Allow-Origin") != test.allowed ||
			h.Get("Access-Control-Allow-Credentials") != test.creds || h.Get("Vary") != "Origin" {
			t.Errorf("%v %q: %d %v", test.origins, test.origin, s.resp.StatusCode, h)
		}
	}
}

func TestRefusalsCanBeReadByAllowedPages(t *testing.T) {
	n := serve(t, config{registry: session.Config{Origins: []string{"https://app.example"}}})
	s := n.try("alice/bad", "systems=orders", http.Header{"Origin": {"https://app.example"}})
	if s.resp.StatusCode != 401 || s.resp.Header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("%d %v", s.resp.StatusCode, s.resp.Header)
	}
}

func TestPreflightAllowsTokensFromAllowedOrigins(t *testing.T) {
	n := newNode(t, config{registry: session.Config{Origins: []string{"https://app.example"}}})
	defer func() { n.stop(); <-n.stopped }()
	for origin, want := range map[string]int{"https://app.example": 204, "https://evil.example": 403} {
		r := httptest.NewRequest("OPTIONS", "/sse?systems=orders", nil)
		r.Header = http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"authorization"}}
		w := httptest.NewRecorder()
		n.server.ServeHTTP(w, r)
		if w.Code != want || want == 204 != strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("%s: %d %v", origin, w.Code, w.Header())
		}
	}
}

func TestConfigurationFaultsAreNamed(t *testing.T) {
	err := sse.Config{OutboxBytes: -1, Stall: -1}.Validate()
	for _, want := range []string{"outbox_bytes", "stall"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in %v", want, err)
		}
	}
	if _, err := sse.New(nil, sse.Config{Retry: -1}); err == nil {
		t.Error("a negative delay was taken")
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("systems=orders,chat&rooms=chat/lobby&resume=orders:x", "", "Bearer alice", "http://node")
	f.Add("systems=orders&token=alice&pad=1", "orders:x,chat:", "", "")
	f.Add("systems=%00&rooms=/&resume=:", "!4009", "Bearer ", "::")
	f.Add("systems=orders", "orders:AW1OIVcho1LRtOqxWmYNkKSixt2awWgAAAAAAAAAAQ!", "Bearer alice", "*")
	n := newNode(f, config{registry: session.Config{QueryToken: true, FailureRate: session.Rate{Messages: 1e9}}})
	f.Cleanup(func() { n.stop(); <-n.stopped })
	f.Fuzz(func(t *testing.T, query, last, authorization, origin string) {
		r := httptest.NewRequest("GET", "/sse", nil)
		r.URL.RawQuery = query
		r.Header = http.Header{"Last-Event-Id": {last}, "Authorization": {authorization}, "Origin": {origin}}
		w := httptest.NewRecorder()
		n.server.ServeHTTP(w, r)
		switch w.Code {
		case 204:
			if !strings.Contains(last, "!") {
				t.Fatal("stopped without a mark")
			}
			return
		case 401, 403, 404, 422, 503: // 503: a recorder can not stream
		default:
			t.Fatalf("status %d %s", w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("no JSON: %q", w.Body)
		}
	})
}
