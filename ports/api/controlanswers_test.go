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
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/api"
)

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
