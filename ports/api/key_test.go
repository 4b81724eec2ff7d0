package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/api"
)

// reasoned is an Authorizer that knows one key.
type reasoned struct{}

func (reasoned) Authorize(_ context.Context, key string) (domain.Scopes, error) {
	switch key {
	case "good":
		return domain.Scopes{"publish/orders"}, nil
	case "":
		return nil, &domain.CredentialError{Reason: "none", Detail: "no API key"}
	case "odd":
		return nil, fmt.Errorf("odd: %w", domain.ErrUnauthenticated)
	}
	return nil, &domain.CredentialError{Reason: "unknown", Detail: "unknown API key"}
}

// inventive is an Authorizer that makes up a reason for each key.
type inventive struct{}

func (inventive) Authorize(_ context.Context, key string) (domain.Scopes, error) {
	return nil, &domain.CredentialError{Reason: key}
}

func TestReasonsThatAreCountedAreBounded(t *testing.T) {
	a, err := api.New(&bus{}, inventive{}, &node{}, api.Config{})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Publishing(mux)
	for i := range 1000 {
		r := httptest.NewRequest("POST", "/v1/systems/orders/messages", nil)
		r.Header.Set("Authorization", fmt.Sprint("Bearer ", i))
		mux.ServeHTTP(httptest.NewRecorder(), r)
	}
	if got := a.Stats().Unauthorized; len(got) > 101 || got["other"] < 800 {
		t.Errorf("%d reasons", len(got))
	}
}

// Only the scheme Bearer is read; other schemes in Authorization are a proxy's.
func TestKeysInAuthorization(t *testing.T) {
	for _, test := range []struct {
		system  string
		headers []string
		status  int
		reason  string
	}{
		{"orders", []string{"Bearer good"}, 202, ""},
		{"orders", []string{"bearer \t good "}, 202, ""},
		{"orders", []string{"Basic YTpi", "Bearer good"}, 202, ""},
		{"orders", []string{"Bearer good", "Negotiate x"}, 202, ""},
		{"orders", []string{"Bearer good", "Bearer good", "Bearer "}, 202, ""},
		{"orders", nil, 401, "none"},
		{"orders", []string{""}, 401, "none"},
		{"orders", []string{"Bearer"}, 401, "none"},
		{"orders", []string{"Basic YTpi"}, 401, "none"},
		{"orders", []string{"good"}, 401, "none"},
		{"orders", []string{"Bearer s3cret"}, 401, "unknown"},
		{"orders", []string{"Bearer good, Bearer s3cret"}, 401, "unknown"},
		{"orders", []string{"Bearer odd"}, 401, "unauthenticated"},
		{"orders", []string{"Bearer good", "Bearer s3cret"}, 401, "ambiguous"},
		{"chat", []string{"Bearer good"}, 403, "scope"},
	} {
		var logged bytes.Buffer
		a, err := api.New(&bus{}, reasoned{}, &node{}, api.Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		a.Publishing(mux)
		r := httptest.NewRequest("POST", "/v1/systems/"+test.system+"/messages", strings.NewReader(`{"to":"user:alice","data":1}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header["Authorization"] = test.headers
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		says := map[string]string{
			"none": "as in \\\"Authorization: Bearer", "unknown": "is not known to this node",
		}[test.reason]
		if !strings.Contains(w.Body.String(), says) {
			t.Errorf("%q: answered %s; want %s", test.headers, w.Body, says)
		}
		got := a.Stats().Unauthorized
		if w.Code != test.status || got[test.reason] != uint64(len(got)) || (len(got) == 0) != (test.reason == "") {
			t.Errorf("%s %q: %d, %v", test.system, test.headers, w.Code, got)
		}
		if text := logged.String(); strings.Contains(text, "s3cret") || (test.reason != "") != strings.Contains(text, "reason="+test.reason) {
			t.Errorf("%s %q: logged %s", test.system, test.headers, text)
		}
	}
	if errors.Is(&domain.CredentialError{}, domain.ErrForbidden) || !errors.Is(&domain.CredentialError{}, domain.ErrUnauthenticated) {
		t.Error("a CredentialError is an ErrUnauthenticated")
	}
}
