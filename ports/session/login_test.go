package session_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/ports/session"
)

// byCookie is a Login that goes by the cookie sid.
func byCookie(l session.Login) (domain.Grant, error) {
	c, err := l.Request.Cookie("sid")
	if err != nil || c.Value != "good" {
		return domain.Grant{}, &domain.CredentialError{Reason: "no_cookie", Detail: "log in first", Told: "log in first"}
	}
	return domain.Grant{User: "alice", Systems: []string{"orders"}}, nil
}

func withCookie(value string, headers ...string) *http.Request {
	r := request("")
	r.AddCookie(&http.Cookie{Name: "sid", Value: value})
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func TestALoginByCookieNeedsAPageThatIsNamed(t *testing.T) {
	for _, tt := range []struct {
		name    string
		origins []string
		headers []string
		want    int
	}{
		{"this very host", nil, []string{"Origin", "http://bus.example.com"}, 200},
		{"named", []string{"https://app.example.com"}, []string{"Origin", "https://app.example.com"}, 200},
		{"another, and any may connect", []string{"*"}, []string{"Origin", "https://evil.example.net"}, 403},
		{"another", nil, []string{"Origin", "https://evil.example.net"}, 403},
		{"a page of this host, without Origin", nil, []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"a page of another site, without Origin", nil, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"nothing is known", nil, nil, 403},
	} {
		registry, _ := newRegistry(t, nil, session.Config{Login: byCookie, Origins: tt.origins})
		r := withCookie("good", tt.headers...)
		if code, detail := status(registry, r, open(registry, r)); code != tt.want {
			t.Errorf("%s: %d %s; want %d", tt.name, code, detail, tt.want)
		}
		if r.Header.Get("Cookie") == "" {
			t.Errorf("%s: the cookie was taken from the request itself", tt.name)
		}
	}
}

// Not only cookies come by themselves.
func TestALoginSeesNothingThatAForeignPageCannotKnow(t *testing.T) {
	for _, tt := range []struct {
		authorization, origin string
		want                  []string
		certificate           bool
	}{
		{"Basic YTpi", "https://evil.example.net", nil, false},
		{"Bearer x", "https://evil.example.net", []string{"Bearer x"}, false},
		{"Basic YTpi", "http://bus.example.com", []string{"Basic YTpi"}, true},
		{"Basic YTpi", "", []string{"Basic YTpi"}, true},
	} {
		var seen *http.Request
		look := func(l session.Login) (domain.Grant, error) {
			seen = l.Request
			return domain.Grant{}, domain.ErrUnauthenticated
		}
		registry, _ := newRegistry(t, nil, session.Config{Login: look, Origins: []string{"*"}})
		r := request("")
		r.Header.Set("Authorization", tt.authorization)
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
		if strings.HasPrefix(tt.origin, "http:") {
			r.TLS = nil // a page over http is not as safe as a request over https
		}
		_ = open(registry, r)
		if got := seen.Header.Values("Authorization"); !slices.Equal(got, tt.want) {
			t.Errorf("%s from %q: Authorization %q", tt.authorization, tt.origin, got)
		}
		if r.TLS != nil && (len(seen.TLS.PeerCertificates) > 0) != tt.certificate {
			t.Errorf("%s from %q: certificates %v", tt.authorization, tt.origin, seen.TLS.PeerCertificates)
		}
	}
}

// Failures are counted by networks, but who is asked about a login wants to know the client.
func TestALoginSeesTheWholeAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"[2001:db8:1:2:3:4:5:6]:7": "2001:db8:1:2:3:4:5:6", "[::1]:7": "::1", "[::ffff:192.0.2.9]:7": "192.0.2.9", "pipe": "invalid IP",
	} {
		var seen session.Login
		look := func(l session.Login) (domain.Grant, error) {
			seen = l
			return domain.Grant{}, domain.ErrUnauthenticated
		}
		registry, _ := newRegistry(t, nil, session.Config{Login: look})
		r := request("")
		r.RemoteAddr = remote
		_ = open(registry, r)
		if got := seen.Address.String(); got != want {
			t.Errorf("from %s it sees %s", remote, got)
		}
	}
}

func TestWhyALoginIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name          string
		grant         domain.Grant
		err           error
		status        int
		detail        string
		reason, cause string // in the log
		retry         string
	}{
		{name: "told", err: &domain.CredentialError{Reason: "stale", Detail: "since noon", Told: "log in again"},
			status: 401, detail: "no valid login: log in again", reason: "stale", cause: "since noon"},
		{name: "not told", err: &domain.CredentialError{Reason: "stale", Detail: "since noon"},
			status: 401, detail: `"no valid login"`, reason: "stale", cause: "since noon"},
		{name: "forbidden", err: &domain.CredentialError{Reason: "banned", Detail: "by bob", Told: "you are banned", Forbidden: true},
			status: 403, detail: "not allowed: you are banned", reason: "banned", cause: "by bob"},
		{name: "later", err: session.Later(90*time.Second, errors.New("no database")),
			status: 503, detail: `"not possible now"`, reason: "later", cause: "no database", retry: "90"},
		{name: "later, some time", err: session.Later(0, errors.New("no database")),
			status: 503, detail: `"not possible now"`, reason: "later", cause: "no database", retry: "5"},
		{name: "an error that is no refusal", err: errors.New("no database"),
			status: 503, detail: `"not possible now"`, reason: "failed", cause: "no database", retry: "5"},
		{name: "nobody", grant: domain.Grant{Systems: []string{"orders"}},
			status: 401, detail: "names no user", reason: "claims"},
		{name: "expired", grant: domain.Grant{User: "alice", Expires: time.Now().Add(-time.Minute)},
			status: 401, detail: "has expired", reason: "expired"},
		{name: "a name that is none", grant: domain.Grant{User: "a\x00b"},
			status: 503, detail: `"not possible now"`, reason: "grant", cause: "user: ", retry: "5"},
		{name: "a pattern that matches nothing", grant: domain.Grant{User: "alice", Systems: []string{"Orders"}},
			status: 503, detail: `"not possible now"`, reason: "grant", cause: "systems: ", retry: "5"},
		{name: "too little", grant: domain.Grant{User: "alice", Systems: []string{"chat"}},
			status: 403, detail: "system orders is not granted", reason: "forbidden"},
	} {
		login := func(session.Login) (domain.Grant, error) { return tt.grant, tt.err }
		registry, logged := newRegistry(t, nil, session.Config{Login: login})
		r, w := request(""), httptest.NewRecorder()
		registry.Reject(w, r, open(registry, r))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.detail) || w.Header().Get("Retry-After") != tt.retry {
			t.Errorf("%s: %d %s, Retry-After %q", tt.name, w.Code, w.Body, w.Header().Get("Retry-After"))
		}
		if log := logged.String(); !strings.Contains(log, "reason="+tt.reason+" ") || !strings.Contains(log, tt.cause) {
			t.Errorf("%s: the log has %s", tt.name, log)
		}
	}
}

func TestALoginIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login := func(l session.Login) (domain.Grant, error) {
			<-l.Request.Context().Done()
			return domain.Grant{}, context.Cause(l.Request.Context())
		}
		registry, _ := newRegistry(t, nil, session.Config{Login: login, Authenticate: 3 * time.Second})
		r, begin := withCookie("good", "Origin", "http://bus.example.com"), time.Now()
		if code, detail := status(registry, r, open(registry, r)); code != http.StatusServiceUnavailable {
			t.Errorf("%d %s", code, detail)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A login that says nothing of when it was issued is good at this moment, and so newer than
// what was revoked before.
func TestALoginIsIssuedNowUnlessItSaysWhen(t *testing.T) {
	issued := time.Time{}
	login := func(session.Login) (domain.Grant, error) {
		return domain.Grant{User: "alice", Systems: []string{"*"}, Issued: issued}, nil
	}
	registry, _ := newRegistry(t, nil, session.Config{Login: login})
	for _, issued = range []time.Time{{}, time.Now().Add(-time.Hour)} {
		s, err := registry.Open(request(""), v1)
		if err != nil {
			t.Fatal(err)
		}
		s.End(0)
		if got := s.Grant.Issued; issued.IsZero() && time.Since(got) > time.Minute || !issued.IsZero() && got != issued {
			t.Errorf("issued %v; the login said %v", got, issued)
		}
		if _, err := s.Refresh(t.Context(), "token"); !errors.Is(err, domain.ErrUnsupported) {
			t.Errorf("a new token: %v; want ErrUnsupported, since no tokens are taken", err)
		}
	}
}

func TestATokenDecidesFirstIfThatIsWanted(t *testing.T) {
	registry, _ := newRegistry(t, anyone{}, session.Config{})
	refused := func(session.Login) (domain.Grant, error) { return domain.Grant{}, domain.ErrUnauthenticated }
	for _, tt := range []struct {
		identity      session.Identity
		with, without int
	}{
		{session.Identity{Tokens: anyone{}}, 200, 401},
		{session.Identity{Tokens: anyone{}, Login: refused}, 401, 401},
		{session.Identity{Tokens: anyone{}, Login: refused, TokensFirst: true}, 200, 401},
		{session.Identity{Login: refused, TokensFirst: true}, 401, 401},
	} {
		registry.SetIdentity(tt.identity)
		for token, want := range map[string]int{"good": tt.with, "": tt.without} {
			r := request(token)
			if code, detail := status(registry, r, open(registry, r)); code != want {
				t.Errorf("%+v, token %q: %d %s; want %d", tt.identity, token, code, detail, want)
			}
		}
	}
}

// Whoever shows nothing has not guessed, so it may ask again and again.
func TestOnlyWrongLoginsCountAgainstAnAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry, _ := newRegistry(t, nil, session.Config{Login: byCookie})
		for range 1000 {
			r := request("")
			if code, _ := status(registry, r, open(registry, r)); code != http.StatusUnauthorized {
				t.Fatalf("nothing shown: %d", code)
			}
		}
		for range 1000 { // a page of another site makes a user's browser ask
			r := withCookie("good", "Sec-Fetch-Site", "cross-site")
			if code, _ := status(registry, r, open(registry, r)); code != http.StatusForbidden {
				t.Fatalf("of another site: %d", code)
			}
		}
		last := 0
		for range 1000 {
			r := withCookie("wrong", "Origin", "http://bus.example.com")
			last, _ = status(registry, r, open(registry, r))
		}
		if last != http.StatusTooManyRequests {
			t.Errorf("the thousandth wrong cookie: %d", last)
		}
		r := withCookie("good", "Origin", "http://bus.example.com")
		if code, detail := status(registry, r, open(registry, r)); code != http.StatusOK {
			t.Errorf("a good one of the same address: %d %s", code, detail)
		}
	})
}
