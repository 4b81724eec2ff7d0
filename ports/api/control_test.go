package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/api"
)

// A command is what a plane was told.
type command struct {
	Key   control.Key
	Value control.Value
	TTL   time.Duration
	Del   bool
	Wait  time.Duration
}

// plane is a Control that remembers commands and answers what its fields say.
type plane struct {
	got     []command
	outcome control.Outcome
	err     error
	slow    time.Duration // how long Command takes

	block   *control.Fact
	members []control.Fact
	present []control.Present
	partial bool // not every node is in step
	nodes   []control.NodeInfo
}

func (p *plane) Command(
	_ context.Context, k control.Key, v control.Value, ttl time.Duration, del bool, wait time.Duration,
) (control.Outcome, error) {
	p.got = append(p.got, command{k, v, ttl, del, wait})
	if p.slow > 0 {
		<-time.After(p.slow)
	}
	return p.outcome, p.err
}

func (p *plane) Blocked(user string) (control.Fact, bool) {
	if p.block == nil || p.block.Key.Name != user {
		return control.Fact{}, false
	}
	return *p.block, true
}

func (p *plane) Member(_ domain.System, _, user string) (control.Fact, bool) {
	for _, f := range p.members {
		if f.Key.Name == user {
			return f, true
		}
	}
	return control.Fact{}, false
}

func (p *plane) Members(_ domain.System, _, after string, limit int) (page []control.Fact) {
	for _, f := range p.members {
		if f.Key.Name > after && len(page) < limit {
			page = append(page, f)
		}
	}
	return page
}

// Presence knows the system chat alone.
func (p *plane) Presence(place control.Place, after string, limit int) (control.Page, error) {
	if place.System.String() != "chat" {
		return control.Page{}, fmt.Errorf("presence: %w", domain.ErrUnsupported)
	}
	page := control.Page{Count: len(p.present), Complete: !p.partial}
	for _, u := range p.present {
		switch {
		case u.User <= after:
		case len(page.Users) == limit:
			page.Next = page.Users[limit-1].User
			return page, nil
		default:
			page.Users = append(page.Users, u)
		}
	}
	return page, nil
}

func (p *plane) Find(place control.Place, users []string) (found []control.Present, complete bool, err error) {
	if _, err := p.Presence(place, "", 1); err != nil {
		return nil, false, err
	}
	for _, name := range users {
		for _, u := range p.present {
			if u.User == name {
				found = append(found, u)
			}
		}
	}
	return found, !p.partial, nil
}

func (p *plane) Nodes() []control.NodeInfo { return p.nodes }

// scoped is an Authorizer whose keys are scopes, joined by +.
type scoped struct{}

func (scoped) Authorize(_ context.Context, key string) (domain.Scopes, error) {
	if key == "" {
		return nil, domain.ErrUnauthenticated
	}
	return strings.Split(key, "+"), nil
}

func controlled(t testing.TB, c api.Control, cfg api.Config) (*api.API, http.Handler) {
	t.Helper()
	cfg.Control = c
	a, err := api.New(&bus{}, scoped{}, &node{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Publishing(mux)
	a.Controlling(mux)
	a.Admin(mux, http.NotFoundHandler())
	return a, mux
}

// ask makes a request with a key that may do everything.
func ask(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer *")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// explained checks that an answer is a problem, and returns it.
func explained(t testing.TB, w *httptest.ResponseRecorder) api.Problem {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Title == "" || p.Detail == "" {
		t.Errorf("status %d with %s (%v)", w.Code, w.Body, err)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("a problem as %q", got)
	}
	return p
}

const all = control.MaxTTL

func member(room, user string) control.Key {
	return control.Key{Kind: control.Membership, System: "chat", Room: room, Name: user}
}

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
}

func TestCommandsAreGivenToThePlane(t *testing.T) {
	p := &plane{outcome: control.Outcome{ID: "01X", Applied: []string{"n1"}}}
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
	p := &plane{}
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
	_, unsupported := controlled(t, &plane{err: domain.ErrUnsupported}, api.Config{})
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
		"/v1/tokens/revoke": "POST", "/v1/systems/chat/presence": "GET, HEAD, POST", "/v1/nodes": "GET, HEAD",
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

func TestCommandsThatFail(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		detail string
		id     string
	}{
		{&domain.FieldError{Path: "name", Problem: "too long"}, 422, "nothing was done", ""},
		{fmt.Errorf("control: %w", domain.ErrLimit), 429, "control.facts", ""},
		{fmt.Errorf("control: %w", domain.ErrBusDown), 503, "it goes on trying; repeating is safe", "01X"},
		{domain.Refused(errors.New("secret")), 503, "it goes on trying", "01X"},
		{context.Canceled, 503, "it goes on trying", "01X"},
		{domain.ErrClosed, 503, "shutting down", ""},
		{errors.New("secret"), 500, "this node's log", ""},
	} {
		_, h := controlled(t, &plane{err: tt.err, outcome: control.Outcome{ID: tt.id}}, api.Config{})
		w := ask(h, "PUT", "/v1/users/alice/block?wait=2s", "")
		got := explained(t, w)
		if got.Status != tt.status || !strings.Contains(got.Detail, tt.detail) || got.ID != tt.id || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %+v", tt.err, got)
		}
		if retry := w.Header().Get("Retry-After") != ""; retry != (tt.status == 429 || tt.status == 503) {
			t.Errorf("%v: Retry-After %q", tt.err, w.Header().Get("Retry-After"))
		}
	}
}

// named is scoped, and knows whose keys they are.
type named struct{ scoped }

func (named) NameOf(key string) string { return "the key " + key }

// Operators want to know who has given which command to whom. The application's own doing,
// and what was refused, would only hide that.
func TestCommandsAreLoggedWithWhoGaveThem(t *testing.T) {
	var out strings.Builder
	p := &plane{outcome: control.Outcome{ID: "01X", Applied: []string{"n1"}, Pending: []string{"n2"}}}
	a, err := api.New(&bus{}, named{}, &node{}, api.Config{
		Control: p, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Controlling(mux)
	for _, tt := range []struct{ method, path, body, want string }{
		{"PUT", "/v1/users/alice/block?wait=1s", `{"reason":"spam"}`, `command=01X kind=block name=alice told=spam pending=[n2]`},
		{"DELETE", "/v1/users/a%2Fb/block", ``, `command=01X kind=block name=a/b undone=true`},
		{"POST", "/v1/sessions/s1/disconnect", ``, `command=01X kind=disconnect_session name=s1`},
		{"POST", "/v1/tokens/revoke", `{"jti":"t1"}`, `command=01X kind=revoke_token name=t1`},
		{"PUT", "/v1/systems/chat/rooms/vip/members/alice", ``, ``},
		{"PUT", "/v1/users/alice/block", `{"ttl":-1}`, ``},
		{"GET", "/v1/users/alice/block", ``, ``},
	} {
		out.Reset()
		w := ask(mux, tt.method, tt.path, tt.body)
		got := out.String()
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s %s: %d, logged %q", tt.method, tt.path, w.Code, got)
		}
		if tt.want != "" && !strings.Contains(got, `level=INFO msg="a command was given" `) ||
			tt.want != "" && !strings.Contains(got, `key="the key *" connection=192.0.2.1:1234`) {
			t.Errorf("%s %s: logged %q", tt.method, tt.path, got)
		}
	}
	// One that the bus did not take holds on this node.
	out.Reset()
	p.err = domain.ErrBusDown
	ask(mux, "POST", "/v1/users/alice/disconnect", "")
	if got := out.String(); !strings.Contains(got, "name=alice") || !strings.Contains(got, "error=") {
		t.Errorf("logged %q", got)
	}
	out.Reset()
	p.err, p.outcome = domain.ErrLimit, control.Outcome{}
	if ask(mux, "POST", "/v1/users/alice/disconnect", ""); out.Len() > 0 {
		t.Errorf("logged %q", out.String())
	}
}

func TestBodiesAreBounded(t *testing.T) {
	a, h := controlled(t, &plane{present: []control.Present{{User: strings.Repeat("a", 253) + "000", Sessions: 1}}}, api.Config{})
	if w := ask(h, "PUT", "/v1/users/a/block", strings.Repeat(" ", 64<<10)); w.Code != 202 {
		t.Errorf("64 KiB of white space: %d %s", w.Code, w.Body)
	}
	if got := explained(t, ask(h, "PUT", "/v1/users/a/block", strings.Repeat(" ", 64<<10+1))); got.Status != 413 || strings.Contains(got.Detail, "publish") {
		t.Errorf("more than 64 KiB: %+v", got)
	}
	users := make([]string, 1000)
	for i := range users {
		users[i] = `"` + strings.Repeat(`\u0061`, 253) + fmt.Sprintf(`\u003%d\u003%d\u003%d`, i/100, i/10%10, i%10) + `"`
	}
	body := `{"users":[` + strings.Join(users, " , ") + `]}`
	if w := ask(h, "POST", "/v1/systems/chat/presence", body); w.Code != 200 || strings.Count(w.Body.String(), `"user":`) != 1 {
		t.Errorf("the longest names: %d %.300s", w.Code, w.Body)
	}
	body = `{"users":[` + strings.Join(users, ",") + `,"x"]}`
	if got := explained(t, ask(h, "POST", "/v1/systems/chat/presence", body)); got.Status != 422 || got.Errors[0].Location != "users" {
		t.Errorf("1001 users: %+v", got)
	}
	if n := a.Stats().Bodies; n != 0 {
		t.Errorf("%d bytes are still taken", n)
	}
}

func TestContentTypesOfCommands(t *testing.T) {
	_, h := controlled(t, &plane{}, api.Config{})
	for kind, want := range map[string]int{
		"application/json": 202, "Application/JSON; charset=utf-8": 202, "application/json; charset=latin1": 415,
		"text/plain": 415, "": 415, "application/x-ndjson": 415, "application/x-www-form-urlencoded": 415,
	} {
		if w := ask(h, "PUT", "/v1/users/a/block", "{}", "Content-Type", kind); w.Code != want {
			t.Errorf("%q: %d %s", kind, w.Code, w.Body)
		}
	}
	if w := ask(h, "PUT", "/v1/users/a/block", "", "Content-Type", "text/plain"); w.Code != 202 {
		t.Errorf("no body: %d %s", w.Code, w.Body)
	}
}

// A command may wait for longer than a client has for the answer, also over HTTP.
func TestACommandMayWaitLongerThanAnAnswerTakes(t *testing.T) {
	a, h := controlled(t, &plane{slow: 300 * time.Millisecond}, api.Config{AnswerTime: 50 * time.Millisecond, BodyStall: 50 * time.Millisecond})
	for _, two := range []bool{false, true} {
		s := httptest.NewUnstartedServer(a.Bounded(h))
		s.EnableHTTP2 = two
		s.StartTLS()
		defer s.Close()
		r, err := http.NewRequest("PUT", s.URL+"/v1/users/alice/block?wait=1s", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer *")
		r.Header.Set("Content-Type", "application/json")
		got, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil || got.StatusCode != 200 || (got.ProtoMajor == 2) != two {
			t.Errorf("%s: %d %s %v", got.Proto, got.StatusCode, text, err)
		}
	}
}

// FuzzCommand checks that no name, query or body is taken for what it is not, and that
// whatever is done is something that package control can mean.
func FuzzCommand(f *testing.F) {
	for _, tt := range operations {
		f.Add("alice", "wait=2s", []byte(tt.body))
	}
	f.Add("a/b\x00", "wait=1s&wait=2s", []byte(`{"ttl":1e3,"reason":"\ud83d\ude00"}`))
	f.Add("..", "%zz", []byte(`{"users":["a",["b"]],"room":"\u0000"}`))
	p := &plane{}
	_, h := controlled(f, p, api.Config{})
	f.Fuzz(func(t *testing.T, name, query string, body []byte) {
		for _, path := range []string{
			"POST /v1/users/%s/disconnect", "PUT /v1/users/%s/block", "POST /v1/sessions/%s/disconnect", "POST /v1/tokens/revoke",
			"PUT /v1/systems/chat/rooms/%s/members/%[1]s", "POST /v1/systems/chat/presence",
		} {
			method, path, _ := strings.Cut(path, " ")
			if strings.Contains(path, "%") {
				path = fmt.Sprintf(path, strings.ReplaceAll(url.PathEscape(name), ".", "%2E"))
			}
			r := httptest.NewRequest(method, "/", strings.NewReader(string(body)))
			u, err := url.Parse(path)
			if err != nil {
				t.Fatal(err)
			}
			r.URL = u
			r.URL.RawQuery = query
			r.Header.Set("Authorization", "Bearer *")
			r.Header.Set("Content-Type", "application/json")
			p.got = nil
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code >= 500 || w.Code != 301 && !json.Valid(w.Body.Bytes()) || (len(p.got) > 0) != (w.Code < 300 && !strings.HasSuffix(path, "presence")) {
				t.Fatal(method, r.URL, w.Code, w.Body)
			}
			for _, c := range p.got {
				own := !strings.Contains(path, "tokens")
				if own && c.Key.Name != name || domain.CheckUser(c.Key.Name) != nil || c.TTL <= 0 || c.TTL > control.MaxTTL ||
					len(c.Value.Reason) > control.MaxReason || c.Value.Before < 0 || c.Wait < 0 || c.Wait > 30*time.Second {
					t.Fatalf("%s: %+v", path, c)
				}
			}
		}
	})
}
