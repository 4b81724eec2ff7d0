package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/api"
)

// metered is an Authorizer and a Meter that lets pass what is left.
type metered struct {
	keys
	left int
	wait time.Duration
}

func (m *metered) Take(key string, n int) time.Duration {
	if key != "shop" {
		return 0
	}
	if max(n, 1) > m.left {
		return m.wait
	}
	m.left -= n
	return 0
}

func (m *metered) Authorize(ctx context.Context, key string) (domain.Scopes, error) {
	if key == "old" {
		return nil, &domain.CredentialError{Reason: "expired", Detail: "shop", Told: "this API key has expired"}
	}
	return m.keys.Authorize(ctx, key)
}

// unread is a body that says when it is read.
type unread struct {
	t *testing.T
	strings.Reader
}

func (u *unread) Read(p []byte) (int, error) {
	u.t.Error("the body was read")
	return u.Reader.Read(p)
}

func TestWhatIsOverAKeysRateIsNotPublished(t *testing.T) {
	out := &bus{}
	m := &metered{left: 3, wait: 2100 * time.Millisecond}
	a, err := api.New(out, m, &node{}, api.Config{})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Publishing(mux)
	const one = `{"to":"user:alice","data":1}`
	for _, tt := range []struct {
		body   string
		status int
		after  string
	}{
		{one, 202, ""}, {"[" + one + "," + one + "," + one + "]", 429, "3"}, {"[" + one + "," + one + "]", 202, ""}, {one, 429, "3"},
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, request(tt.body))
		if w.Code != tt.status || w.Header().Get("Retry-After") != tt.after {
			t.Errorf("%s: %d %s, Retry-After %q", tt.body, w.Code, w.Body, w.Header().Get("Retry-After"))
		}
	}
	if got := a.Stats(); got.Accepted != 3 || got.Refused["rate"] != 2 {
		t.Errorf("counted %+v", got)
	}
	w := httptest.NewRecorder()
	r := request("")
	r.Body = struct {
		*unread
		closer
	}{&unread{t: t}, closer{}}
	mux.ServeHTTP(w, r)
	if w.Code != http.StatusTooManyRequests {
		t.Errorf("nothing left: %d", w.Code)
	}
}

type closer struct{}

func (closer) Close() error { return nil }

func TestAnExpiredKeyIsToldSo(t *testing.T) {
	a, err := api.New(&bus{}, &metered{}, &node{}, api.Config{})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Publishing(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, request("{}", "Authorization", "Bearer old"))
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "publishing needs an API key: this API key has expired") || a.Stats().Unauthorized["expired"] != 1 {
		t.Errorf("%d %s, %v", w.Code, w.Body, a.Stats().Unauthorized)
	}
}
