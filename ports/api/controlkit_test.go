package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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
	if cfg.Finder == nil {
		cfg.Finder = &finder{}
	}
	if cfg.Receipts == nil {
		cfg.Receipts = &told{found: true}
	}
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
