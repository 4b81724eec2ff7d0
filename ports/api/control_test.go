package api_test

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/api"
)

var operations = []struct {
	method, path, body string
	want               command
}{
	{"POST", "/v1/users/alice/disconnect", ``, command{control.Key{Kind: control.Disconnect, Name: "alice"}, control.Value{}, control.DisconnectTTL, false, 0}},
	{"POST", "/v1/users/alice/disconnect", `{"reason":"bye","code":4321,"reconnect":false}`, command{control.Key{Kind: control.Disconnect, Name: "alice"}, control.Value{Reason: "bye", Code: 4321, Final: true}, control.DisconnectTTL, false, 0}},
	{"POST", "/v1/users/alice/disconnect?wait=2s", `{"code":4009,"reconnect":true}`, command{control.Key{Kind: control.Disconnect, Name: "alice"}, control.Value{Code: 4009}, control.DisconnectTTL, false, 2 * time.Second}},
	{"POST", "/v1/users/alice/disconnect?wait=30s&_=1", `{"reason":null,"code":null,"reconnect":null}`, command{control.Key{Kind: control.Disconnect, Name: "alice"}, control.Value{}, control.DisconnectTTL, false, 30 * time.Second}},
	{"POST", "/v1/users/a%2Fb%20%25%C3%BC/disconnect", ` `, command{control.Key{Kind: control.Disconnect, Name: "a/b %ü"}, control.Value{}, control.DisconnectTTL, false, 0}},
	{"POST", "/v1/users/%2E%2E/disconnect", ``, command{control.Key{Kind: control.Disconnect, Name: ".."}, control.Value{}, control.DisconnectTTL, false, 0}},
	{"POST", "/v1/sessions/01X/disconnect?wait=0s", `{"reason":"bye"}`, command{control.Key{Kind: control.DisconnectSession, Name: "01X"}, control.Value{Reason: "bye"}, control.DisconnectTTL, false, 0}},
	{"PUT", "/v1/users/alice/block", `{"reason":"spam","ttl":60}`, command{control.Key{Kind: control.Block, Name: "alice"}, control.Value{Reason: "spam"}, time.Minute, false, 0}},
	{"PUT", "/v1/users/alice/block?wait=1500ms", ``, command{control.Key{Kind: control.Block, Name: "alice"}, control.Value{}, all, false, 1500 * time.Millisecond}},
	{"PUT", "/v1/users/alice/block", `{"ttl":31622400}`, command{control.Key{Kind: control.Block, Name: "alice"}, control.Value{}, all, false, 0}},
	{"DELETE", "/v1/users/alice/block", ``, command{control.Key{Kind: control.Block, Name: "alice"}, control.Value{}, 0, true, 0}},
	{"DELETE", "/v1/users/alice/block", `{}`, command{control.Key{Kind: control.Block, Name: "alice"}, control.Value{}, 0, true, 0}},
	{"POST", "/v1/tokens/revoke", `{"jti":"t1","ttl":3.6e3}`, command{control.Key{Kind: control.RevokeToken, Name: "t1"}, control.Value{}, time.Hour, false, 0}},
	{"POST", "/v1/tokens/revoke", `{"user":"alice","issued_before":"1970-01-01T01:00:01+01:00"}`, command{control.Key{Kind: control.RevokeUser, Name: "alice"}, control.Value{Before: 1000}, all, false, 0}},
	{"POST", "/v1/tokens/revoke", `{"user":"alice","issued_before":1.5}`, command{control.Key{Kind: control.RevokeUser, Name: "alice"}, control.Value{Before: 1500}, all, false, 0}},
	{"PUT", "/v1/systems/chat/rooms/lobby/members/alice", `{"ttl":1}`, command{member("lobby", "alice"), control.Value{}, time.Second, false, 0}},
	{"PUT", "/v1/systems/chat/rooms/a%2Fb/members/c%2Fd", ``, command{member("a/b", "c/d"), control.Value{}, all, false, 0}},
	{"DELETE", "/v1/systems/chat/rooms/lobby/members/alice?wait=2s", ``, command{member("lobby", "alice"), control.Value{}, 0, true, 2 * time.Second}},
	{"POST", "/v1/nodes/n1/rebalance", ``, command{control.Key{Kind: control.Rebalance, Name: "01NEW"}, control.Value{Rate: 50}, control.DisconnectTTL, false, 0}},
	{"POST", "/v1/nodes/n1/rebalance?wait=2s", `{"rate":200,"sessions":1e3}`, command{control.Key{Kind: control.Rebalance, Name: "01NEW"}, control.Value{Rate: 200, Sessions: 1000}, control.DisconnectTTL, false, 2 * time.Second}},
	{"DELETE", "/v1/nodes/n1/rebalance", ``, command{control.Key{Kind: control.Rebalance, Name: "01NEW"}, control.Value{}, control.DisconnectTTL, false, 0}},
}

// started says that n1 was started again a moment ago.
var started = []control.NodeInfo{{Name: "n1", Incarnation: "01NEW"}, {Name: "n1", Incarnation: "01LD"}, {Name: "n2", Incarnation: "01X"}}

func TestCommandsAreGivenToThePlane(t *testing.T) {
	p := &plane{outcome: control.Outcome{ID: "01X", Applied: []string{"n1"}}, nodes: started}
	a, h := controlled(t, p, api.Config{})
	for _, tt := range operations {
		p.got = nil
		before := a.Stats().Controlled
		w := ask(h, tt.method, tt.path, tt.body)
		status, want := 202, `{"id":"01X"}`
		if tt.want.Wait > 0 {
			status, want = 200, `{"id":"01X","applied":["n1"],"pending":[]}`
		}
		if w.Code != status || w.Body.String() != want+"\n" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, w.Code, w.Body)
		}
		if diff := cmp.Diff([]command{tt.want}, p.got); diff != "" {
			t.Errorf("%s %s %s:\n%s", tt.method, tt.path, tt.body, diff)
		}
		if got := a.Stats().Controlled; got[status] != before[status]+1 {
			t.Errorf("%s %s: counted %v, then %v", tt.method, tt.path, before, got)
		}
	}
}

func TestANodeThatIsNotThereIsNotRebalanced(t *testing.T) {
	p := &plane{nodes: started}
	_, h := controlled(t, p, api.Config{})
	for _, method := range []string{"POST", "DELETE"} {
		if got := explained(t, ask(h, method, "/v1/nodes/n3/rebalance", "")); got.Status != 404 || !strings.Contains(got.Detail, "n3") || len(p.got) > 0 {
			t.Errorf("%s: %+v, done %v", method, got, p.got)
		}
	}
}

func TestTokensOfAUserAreRevokedThatWereIssuedBeforeNow(t *testing.T) {
	p := &plane{}
	_, h := controlled(t, p, api.Config{})
	from := time.Now().UnixMilli()
	w := ask(h, "POST", "/v1/tokens/revoke", `{"user":"alice"}`)
	if w.Code != 202 || len(p.got) != 1 || p.got[0].Value.Before < from || p.got[0].Value.Before > time.Now().UnixMilli() {
		t.Errorf("%d %s: %+v", w.Code, w.Body, p.got)
	}
}

func TestWhatACommandCannotMeanIsRefusedWithItsLocation(t *testing.T) {
	long := strings.Repeat("x", 257)
	p := &plane{nodes: started}
	a, h := controlled(t, p, api.Config{})
	for _, tt := range []struct {
		method, path, body string
		status             int
		at                 string
	}{
		{"POST", "/v1/users/alice/disconnect", `{"reson":"x"}`, 422, "reson"},
		{"POST", "/v1/users/alice/disconnect", `{"Reason":"x"}`, 422, "Reason"},
		{"POST", "/v1/users/alice/disconnect", `{"reason":1}`, 422, "reason"},
		{"POST", "/v1/users/alice/disconnect", `{"reason":"` + strings.Repeat("ü", 51) + `"}`, 422, "reason"},
		{"POST", "/v1/users/alice/disconnect", `{"reason":"a\u0000"}`, 422, "reason"},
		{"POST", "/v1/users/alice/disconnect", `{"reason":"\ud83d"}`, 400, "reason"},
		{"POST", "/v1/users/alice/disconnect", `{"reason":"a","reason":"a"}`, 400, ""},
		{"POST", "/v1/users/alice/disconnect", `{"code":4010}`, 422, "code"},
		{"POST", "/v1/nodes/n1/rebalance", `{"rate":0}`, 422, "rate"},
		{"POST", "/v1/nodes/n1/rebalance", `{"rate":10001}`, 422, "rate"},
		{"POST", "/v1/nodes/n1/rebalance", `{"rate":"50/s"}`, 422, "rate"},
		{"POST", "/v1/nodes/n1/rebalance", `{"sessions":0}`, 422, "sessions"},
		{"DELETE", "/v1/nodes/n1/rebalance", `{"rate":1}`, 422, "rate"},
		{"POST", "/v1/users/alice/disconnect", `{"code":4099}`, 422, "code"},
		{"POST", "/v1/users/alice/disconnect", `{"code":5000}`, 422, "code"},
		{"POST", "/v1/users/alice/disconnect", `{"code":0}`, 422, "code"},
		{"POST", "/v1/users/alice/disconnect", `{"code":"4100"}`, 422, "code"},
		{"POST", "/v1/users/alice/disconnect", `{"code":1e99}`, 422, "code"},
		{"POST", "/v1/users/alice/disconnect", `{"reconnect":"false"}`, 422, "reconnect"},
		{"POST", "/v1/users/alice/disconnect", `{"reconnect":0}`, 422, "reconnect"},
		{"POST", "/v1/users/alice/disconnect", `{`, 400, ""},
		{"POST", "/v1/users/alice/disconnect", `{}{}`, 400, ""},
		{"POST", "/v1/users/alice/disconnect", `[]`, 400, ""},
		{"POST", "/v1/users/alice/disconnect", `null`, 400, ""},
		{"POST", "/v1/users/alice/disconnect", "{\"reason\":\"\xff\"}", 400, ""},
		{"POST", "/v1/users/alice/disconnect?wait=31s", ``, 422, "wait"},
		{"POST", "/v1/users/alice/disconnect?wait=-1s", ``, 422, "wait"},
		{"POST", "/v1/users/alice/disconnect?wait=2", ``, 422, "wait"},
		{"POST", "/v1/users/alice/disconnect?wait=", ``, 422, "wait"},
		{"POST", "/v1/users/alice/disconnect?wait=2s&wait=2s", ``, 422, "wait"},
		{"POST", "/v1/users/alice/disconnect?wiat=2s", ``, 422, "wiat"},
		{"POST", "/v1/users/alice/disconnect?wait=%", ``, 422, "query"},
		{"POST", "/v1/users/a%00b/disconnect", ``, 422, "user"},
		{"POST", "/v1/users/a%0Ab/disconnect", ``, 422, "user"},
		{"POST", "/v1/users/a%C2%85b/disconnect", ``, 422, "user"},
		{"POST", "/v1/users/a%FFb/disconnect", ``, 422, "user"},
		{"POST", "/v1/users/" + long + "/disconnect", ``, 422, "user"},
		{"POST", "/v1/sessions/a%00b/disconnect", ``, 422, "id"},
		{"PUT", "/v1/users/alice/block", `{"ttl":0}`, 422, "ttl"},
		{"PUT", "/v1/users/alice/block", `{"ttl":-1}`, 422, "ttl"},
		{"PUT", "/v1/users/alice/block", `{"ttl":1.5}`, 422, "ttl"},
		{"PUT", "/v1/users/alice/block", `{"ttl":31622401}`, 422, "ttl"},
		{"PUT", "/v1/users/alice/block", `{"ttl":9223372036854775807}`, 422, "ttl"},
		{"PUT", "/v1/users/alice/block", `{"ttl":"60"}`, 422, "ttl"},
		{"PUT", "/v1/users/alice/block", `{"code":4100}`, 422, "code"},
		{"DELETE", "/v1/users/alice/block", `{"ttl":1}`, 422, "ttl"},
		{"GET", "/v1/users/alice/block?wait=1s", ``, 422, "wait"},
		{"POST", "/v1/tokens/revoke", ``, 422, "jti"},
		{"POST", "/v1/tokens/revoke", `{"jti":"","user":null}`, 422, "jti"},
		{"POST", "/v1/tokens/revoke", `{"jti":"a","user":"b"}`, 422, "user"},
		{"POST", "/v1/tokens/revoke", `{"jti":"a","issued_before":1}`, 422, "issued_before"},
		{"POST", "/v1/tokens/revoke", `{"jti":"` + long + `"}`, 422, "jti"},
		{"POST", "/v1/tokens/revoke", `{"user":"a","issued_before":"yesterday"}`, 422, "issued_before"},
		{"POST", "/v1/tokens/revoke", `{"user":"a","issued_before":"1969-12-31T23:59:59Z"}`, 422, "issued_before"},
		{"POST", "/v1/tokens/revoke", `{"user":"a","issued_before":-1}`, 422, "issued_before"},
		{"POST", "/v1/tokens/revoke", `{"user":"a","issued_before":1e300}`, 422, "issued_before"},
		{"POST", "/v1/tokens/revoke", `{"user":"a","issued_before":true}`, 422, "issued_before"},
		{"PUT", "/v1/systems/Chat/rooms/r/members/u", ``, 422, "system"},
		{"PUT", "/v1/systems/chat/rooms/%00/members/%00", ``, 422, "room"},
		{"GET", "/v1/systems/chat/rooms/r/members?limit=0", ``, 422, "limit"},
		{"GET", "/v1/systems/chat/rooms/r/members?limit=1001", ``, 422, "limit"},
		{"GET", "/v1/systems/chat/rooms/r/members?after=%00", ``, 422, "after"},
		{"GET", "/v1/systems/chat/presence?room=", ``, 422, "room"},
		{"GET", "/v1/systems/chat/presence?user=", ``, 422, "user"},
		{"GET", "/v1/systems/chat/presence?user=a&limit=1", ``, 422, "limit"},
		{"GET", "/v1/systems/chat/presence?user=a&after=", ``, 422, "after"},
		{"GET", "/v1/systems/chat/presence?limit=-1", ``, 422, "limit"},
		{"GET", "/v1/systems/chat/presence?limit=x", ``, 422, "limit"},
		{"POST", "/v1/systems/chat/presence", ``, 422, "users"},
		{"POST", "/v1/systems/chat/presence", `{"users":"alice"}`, 422, "users"},
		{"POST", "/v1/systems/chat/presence", `{"users":{}}`, 422, "users"},
		{"POST", "/v1/systems/chat/presence", `{"users":["a",""]}`, 422, "users[1]"},
		{"POST", "/v1/systems/chat/presence", `{"users":["a","b","a"]}`, 422, "users[2]"},
		{"POST", "/v1/systems/chat/presence", `{"users":["a",1]}`, 422, "users"},
		{"POST", "/v1/systems/chat/presence", `{"room":"","users":[]}`, 422, "room"},
		{"POST", "/v1/systems/chat/presence", `{"users":[` + strings.Repeat(`"a",`, 1000) + `"a"]}`, 422, "users[1]"},
		{"GET", "/v1/nodes?all=1", ``, 422, "all"},
	} {
		before := a.Stats().Controlled[tt.status]
		w := ask(h, tt.method, tt.path, tt.body)
		got := explained(t, w)
		location := "none"
		if len(got.Errors) > 0 {
			location = got.Errors[0].Location
		}
		if w.Code != tt.status || location != tt.at || got.Errors[0].Message == "" {
			t.Errorf("%s %.80s %.80s: %s; want %d at %q", tt.method, tt.path, tt.body, w.Body, tt.status, tt.at)
		}
		if len(p.got) > 0 || a.Stats().Controlled[tt.status] != before+1 {
			t.Errorf("%s %.80s %.80s: %+v was done, counted %v", tt.method, tt.path, tt.body, p.got, a.Stats().Controlled)
		}
	}
}

func TestEveryFaultOfABodyIsNamed(t *testing.T) {
	_, h := controlled(t, &plane{}, api.Config{})
	got := explained(t, ask(h, "POST", "/v1/users/a/disconnect", `{"reason":1,"code":1,"reconnect":1,"x":1}`))
	var at []string
	for _, f := range got.Errors {
		at = append(at, f.Location)
	}
	if diff := cmp.Diff([]string{"reason", "code", "reconnect", "x"}, at); diff != "" || !strings.Contains(got.Detail, "nothing was done") {
		t.Error(diff, got.Detail)
	}
}

// routePaths are a request for each route, without those that take no body.
func paths() (all [][2]string) {
	for _, tt := range operations {
		path, _, _ := strings.Cut(tt.path, "?")
		all = append(all, [2]string{tt.method, path})
	}
	return append(all, [2]string{"GET", "/v1/users/alice/block"}, [2]string{"GET", "/v1/nodes"},
		[2]string{"GET", "/v1/systems/chat/presence"}, [2]string{"POST", "/v1/systems/chat/presence"},
		[2]string{"GET", "/v1/systems/chat/rooms/r/members"}, [2]string{"GET", "/v1/systems/chat/rooms/r/members/u"})
}

func TestEachRouteNeedsItsScope(t *testing.T) {
	p := &plane{}
	a, h := controlled(t, p, api.Config{})
	refused := func() (n uint64) {
		for _, of := range a.Stats().Unauthorized {
			n += of
		}
		return n
	}
	for _, r := range paths() {
		want := "admin"
		if strings.HasPrefix(r[1], "/v1/systems/") {
			want = "members/chat"
			if strings.HasSuffix(r[1], "/presence") {
				want = "presence/chat"
			}
		}
		for key, status := range map[string]int{
			"": 401, "publish/chat": 403, "presence/other": 403, "members/other": 403, "adm": 403, "admin/chat": 403,
			"admin": 403, "presence/*": 403, "members/ch*": 403, "*": 0, "publish/x+" + want: 0,
		} {
			if domain.Scopes(strings.Split(key, "+")).Include(want) {
				status = 0
			}
			p.got = nil
			before := refused()
			req := httptest.NewRequest(r[0], r[1], untouchable{t})
			if status == 0 {
				req = httptest.NewRequest(r[0], r[1], nil)
			}
			req.Header.Set("Authorization", "Bearer "+key)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			if status == 0 {
				if w.Code == 401 || w.Code == 403 || refused() != before {
					t.Errorf("%s with %q: %d %s", r, key, w.Code, w.Body)
				}
				continue
			}
			got := explained(t, w)
			if w.Code != status || len(p.got) > 0 || refused() != before+1 || status == 403 && !strings.Contains(got.Detail, "the scope "+want) {
				t.Errorf("%s with %q: %d %s, done %v, counted %v", r, key, w.Code, w.Body, p.got, a.Stats())
			}
		}
	}
}

func TestWithoutAControlPlaneRoutesSaySo(t *testing.T) {
	_, off := controlled(t, nil, api.Config{})
	_, unsupported := controlled(t, &plane{err: domain.ErrUnsupported, nodes: started}, api.Config{})
	for _, r := range paths() {
		if got := explained(t, ask(off, r[0], r[1], "")); got.Status != 501 || !strings.Contains(got.Detail, "control.disabled") {
			t.Errorf("%s: %+v", r, got)
		}
	}
	for _, tt := range operations {
		if got := explained(t, ask(unsupported, tt.method, tt.path, tt.body)); got.Status != 501 {
			t.Errorf("%s: %+v", tt.path, got)
		}
	}
}

func TestMethodsThatARouteDoesNotHave(t *testing.T) {
	allow := map[string]string{
		"/v1/users/alice/disconnect": "POST", "/v1/users/alice/block": "DELETE, GET, HEAD, PUT", "/v1/sessions/x/disconnect": "POST",
		"/v1/tokens/revoke": "POST", "/v1/systems/chat/presence": "GET, HEAD, POST", "/v1/nodes": "GET, HEAD", "/v1/nodes/n1/rebalance": "DELETE, POST",
		"/v1/systems/chat/rooms/r/members": "GET, HEAD", "/v1/systems/chat/rooms/r/members/u": "DELETE, GET, HEAD, PUT",
	}
	a, h := controlled(t, &plane{}, api.Config{})
	n := uint64(0)
	for path, want := range allow {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
			w := ask(h, method, path, "")
			allowed := slices.Contains(strings.Split(want, ", "), method)
			if (w.Code != 405) != allowed || !allowed && (w.Header().Get("Allow") != want || explained(t, w).Detail != "want "+want) {
				t.Errorf("%s %s: %d, Allow %q", method, path, w.Code, w.Header().Get("Allow"))
			}
			if !allowed {
				n++
			}
		}
	}
	if a.Stats().Controlled[405] != n {
		t.Errorf("counted %v; want %d 405s", a.Stats().Controlled, n)
	}
}

func TestUnknownPathsAreAnsweredWithWhatThereIs(t *testing.T) {
	_, h := controlled(t, &plane{}, api.Config{})
	for _, path := range []string{"/v1/", "/v1/user/alice/disconnect", "/v1/users/alice", "/v1/systems/chat/rooms/r/members/u/x", "/v1/nodes/"} {
		got := explained(t, ask(h, "POST", path, ""))
		for _, want := range []string{"POST /v1/systems/{system}/messages", "POST /v1/users/{user}/disconnect", "GET /v1/nodes"} {
			if got.Status != 404 || !strings.Contains(got.Detail, want) {
				t.Errorf("%s: %+v", path, got)
			}
		}
	}
}

func TestSystemsThatAreNotServed(t *testing.T) {
	_, h := controlled(t, &plane{}, api.Config{})
	for _, r := range [][2]string{{"PUT", "/v1/systems/other/rooms/r/members/u"}, {"GET", "/v1/systems/other/presence"}} {
		if got := explained(t, ask(h, r[0], r[1], "")); got.Status != 404 || got.Detail != "system other is not served here" {
			t.Errorf("%s: %+v", r, got)
		}
	}
	for method, body := range map[string]string{"GET": "", "POST": `{"users":["a"]}`} {
		got := explained(t, ask(h, method, "/v1/systems/orders/presence", body))
		if got.Status != 404 || !strings.Contains(got.Detail, "presence.systems") {
			t.Errorf("%s: %+v", method, got)
		}
	}
}
