package session_test

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
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
)

// newRegistry returns a Registry, and what it logs.
func newRegistry(t testing.TB, auth session.Authenticator, cfg session.Config) (*session.Registry, *bytes.Buffer) {
	t.Helper()
	var logged bytes.Buffer
	registry, err := session.New(stream.NewHub(nobody{}, stream.HubConfig{Any: true}), auth, cfg, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return registry, &logged
}

// v1 is what a port would read from the requests of these tests.
var v1 = session.Protocol{Encoder: session.V1Encoder{}}

// open makes a session of a request, and ends it again.
func open(registry *session.Registry, r *http.Request) error {
	s, err := registry.Open(r, v1)
	if s != nil {
		s.End(0)
	}
	return err
}

func request(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://bus.example.com/ws?systems=orders", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// status returns the status and the body with which a client is answered.
func status(registry *session.Registry, r *http.Request, err error) (code int, detail string) {
	if err == nil {
		return http.StatusOK, ""
	}
	w := httptest.NewRecorder()
	registry.Reject(w, r, err)
	return w.Code, w.Body.String()
}

// A page that is allowed only because all pages are must not use a user's cookie. Over
// plain http, browsers say only in the Referer which page a request is from.
func TestCookieNeedsAPageThatIsNamed(t *testing.T) {
	app := []string{"https://app.example.com"}
	for _, tt := range []struct {
		name                  string
		origins               []string
		origin, site, referer string
		want                  bool
	}{
		{"any", []string{"*"}, "https://evil.example.net", "", "", false},
		{"this very host, any", []string{"*"}, "http://bus.example.com", "", "", true},
		{"named beside any", []string{"*", "https://app.example.com"}, "https://app.example.com", "", "", true},
		{"named", app, "https://app.example.com", "", "", true},
		{"named by a star", []string{"https://*.example.com"}, "https://app.example.com", "", "", true},
		{"another", app, "https://evil.example.net", "", "", false},
		{"this very host", nil, "http://bus.example.com", "", "", true},
		{"nothing is known", nil, "", "", "", false},

		{"fetch metadata", nil, "", "same-origin", "", true},
		{"fetch metadata of a sibling", nil, "", "same-site", "http://bus.example.com/", false},
		{"fetch metadata of a stranger", nil, "", "cross-site", "http://bus.example.com/", false},
		{"fetch metadata of an address bar", nil, "", "none", "http://bus.example.com/", false},

		{"referer of this host", nil, "", "", "http://bus.example.com/app?x=1", true},
		{"referer without a path", nil, "", "", "http://bus.example.com", true},
		{"referer of this host, others listed", app, "", "", "http://bus.example.com/app", true},
		{"referer that is named", app, "", "", "https://app.example.com/x", true},
		{"referer of a stranger", nil, "", "", "http://evil.example.net/http://bus.example.com/", false},
		{"referer of a stranger, any", []string{"*"}, "", "", "http://evil.example.net/", false},
		{"referer that only looks like ours", nil, "", "", "http://bus.example.com.evil.net/", false},
		{"referer with a user that looks like ours", nil, "", "", "http://bus.example.com@evil.net/", false},
		{"referer with a fragment that looks like ours", nil, "", "", "http://evil.net#http://bus.example.com", false},
		{"referer of another port", nil, "", "", "http://bus.example.com:8080/", false},
		{"referer that is none", nil, "", "", "/app", false},
		{"referer beside a stranger's origin", []string{"*"}, "http://evil.example.net", "", "http://bus.example.com/", false},
	} {
		registry, _ := newRegistry(t, anyone{}, session.Config{Origins: tt.origins})
		r := request("")
		r.Header.Set("Cookie", "fanfare_token=alices")
		for name, value := range map[string]string{"Origin": tt.origin, "Sec-Fetch-Site": tt.site, "Referer": tt.referer} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if err := open(registry, r); (err == nil) != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
		r.Header.Add("Sec-Fetch-Site", "cross-site") // a second one, which no browser sends
		if err := open(registry, r); err == nil && tt.origin == "" {
			t.Errorf("%s, and from a stranger: allowed", tt.name)
		}
	}
}

// The operator learns why a client is refused. The client learns as much as helps no
// attacker. Neither text contains the token.
func TestReasonsAreShown(t *testing.T) {
	const secret = "eyJhbGciOiJIUzI1NiJ9"
	concealed := &domain.CredentialError{Reason: "signature", Detail: "the key is another"}
	told := &domain.CredentialError{Reason: "expired", Detail: "expired 3 h ago", Told: "the token has expired"}
	for _, test := range []struct {
		name   string
		err    error
		change func(*http.Request)
		status int
		reason string
		client string // is in what the client sees
		hidden string // is not in what the client sees
		logged string
	}{
		{"concealed", concealed, nil, 401, "signature", `"no valid token"`, "key", "the key is another"},
		{"told", told, nil, 401, "expired", "the token has expired", "3 h", "expired 3 h ago"},
		{"another's Authenticator", fmt.Errorf("who: %w", domain.ErrUnauthenticated), nil, 401, "unauthenticated", `"no valid token"`, "who", "who"},
		{"it is down", errors.New("dial: refused"), nil, 503, "failed", "not possible now", "dial", "dial: refused"},
		{"it has gone", fmt.Errorf("who: %w", context.Canceled), nil, 503, "gone", "not possible now", "who", "level=INFO"},
		{"no token", nil, func(r *http.Request) { r.Header.Del("Authorization") }, 401, "none", "Authorization: Bearer", "", "there is none"},
		{"several", nil, func(r *http.Request) { r.Header.Add("Authorization", "Bearer other") }, 401, "ambiguous", "several in Authorization", "other", "several"},
		{"bad origin", nil, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example.net") }, 403, "origin", "origin is not allowed", "evil", "https://evil.example.net"},
		{"cookie of nowhere", nil, func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Header.Set("Cookie", "fanfare_token="+secret)
		}, 403, "cookie", "needs an Origin", "", "reason=cookie"},
		{"a token where a system should be", nil, func(r *http.Request) { r.URL.RawQuery = "systems=" + secret }, 422, "invalid", "systems", "", "reason=invalid"},
		{"a token where a room should be", nil, func(r *http.Request) { r.URL.RawQuery += "&rooms=orders/" + secret }, 403, "forbidden", "is not granted", "", "user=alice"},
	} {
		t.Run(test.name, func(t *testing.T) {
			registry, logged := newRegistry(t, failing{test.err}, session.Config{})
			r := request(secret)
			if test.change != nil {
				test.change(r)
			}
			code, body := status(registry, r, open(registry, r))
			if code != test.status || !strings.Contains(body, test.client) || test.hidden != "" && strings.Contains(body, test.hidden) {
				t.Errorf("the client sees %d %s", code, body)
			}
			text := logged.String()
			if !strings.Contains(text, test.logged) || !strings.Contains(text, "reason="+test.reason) || !strings.Contains(text, "address=192.0.2.1") {
				t.Errorf("the operator sees %s", text)
			}
			if strings.Contains(text, secret) {
				t.Errorf("the log holds the token: %s", text)
			}
			if s := registry.Stats(); s.Reasons[test.reason] != 1 || len(s.Reasons) != 1 {
				t.Errorf("counted %v", s.Reasons)
			}
		})
	}
}

func TestReasonsThatAreCountedAreBounded(t *testing.T) {
	auth := &failing{}
	registry, _ := newRegistry(t, auth, session.Config{FailureRate: session.Rate{Messages: 1000}})
	for i := range 1000 {
		auth.err = &domain.CredentialError{Reason: fmt.Sprint(i)}
		r := request("x")
		status(registry, r, open(registry, r))
	}
	if s := registry.Stats(); len(s.Reasons) > 101 || s.Reasons["other"] < 800 {
		t.Errorf("%d reasons", len(s.Reasons))
	}
}

// A client that shares its address with somebody who guesses tokens still gets in, and
// the guesses cost no more than one check at a time.
func TestGoodTokensGetInFromAnAddressThatIsLockedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &slow{takes: 10 * time.Millisecond}
		registry, _ := newRegistry(t, auth, session.Config{FailureRate: session.Rate{Messages: 0.2}})
		codes := make(chan int, 500)
		try := func(token, from string) {
			r := request(token)
			r.RemoteAddr = from
			code, _ := status(registry, r, open(registry, r))
			codes <- code
		}
		const here, elsewhere = "192.0.2.1:1", "192.0.2.2:1"
		for range 2 {
			try("bad", here)
			if code := <-codes; code != 401 {
				t.Fatalf("got %d", code)
			}
		}
		auth.most.Store(0)
		for range 20 {
			go try("bad", here)
		}
		synctest.Wait()
		try("good", here)
		synctest.Wait()
		time.Sleep(time.Second)
		got := count(codes)
		if got[200] != 1 || got[429] != 20 {
			t.Errorf("got %v", got)
		}
		if most := auth.most.Load(); most != 1 {
			t.Errorf("%d tokens of the address were checked at once", most)
		}
		// Other addresses do not wait for that, and no more than 256 requests wait.
		auth.takes = 100 * time.Millisecond
		for range 400 {
			go try("bad", here)
		}
		synctest.Wait()
		if turnedAway := len(codes); turnedAway != 400-1-256 {
			t.Errorf("%d of 400 were turned away at once: one is checked, 256 may wait", turnedAway)
		}
		begun := time.Now()
		try("good", elsewhere)
		if took := time.Since(begun); took > auth.takes {
			t.Errorf("another address waited for %v", took)
		}
		time.Sleep(5 * time.Second)
		if got := count(codes); got[200] != 1 || got[429] != 400 || auth.checked.Load() > 2+21+1+15 {
			t.Errorf("got %v after %d checks", got, auth.checked.Load())
		}
	})
}

// hesitant waits for others before it can judge any token but "good", as for the key of an
// issuer, and then refuses it.
type hesitant struct{ anyone }

func (h hesitant) Authenticate(ctx context.Context, token string) (domain.Grant, error) {
	if token == "good" {
		return h.anyone.Authenticate(ctx, token)
	}
	time.Sleep(5 * time.Second)
	return domain.Grant{}, domain.ErrUnauthenticated
}

func (h hesitant) AuthenticateAtOnce(ctx context.Context, token string) (domain.Grant, error) {
	if token == "good" {
		return h.anyone.Authenticate(ctx, token)
	}
	return domain.Grant{}, errors.New("nobody knows")
}

// One token of a suspect is checked at a time, so it must not wait for others meanwhile.
func TestWrongTokensThatWaitForOthersHoldUpNobodyAtTheirAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry, _ := newRegistry(t, hesitant{}, session.Config{FailureRate: session.Rate{Messages: 0.01}})
		for range 2 {
			_ = open(registry, request("bad"))
		}
		codes := make(chan int, 20)
		for range cap(codes) {
			go func() {
				r := request("bad")
				code, _ := status(registry, r, open(registry, r))
				codes <- code
			}()
		}
		begun, r := time.Now(), request("good")
		if code, detail := status(registry, r, open(registry, r)); code != http.StatusOK || time.Since(begun) > 0 {
			t.Errorf("a good token: %d %s after %v", code, detail, time.Since(begun))
		}
		synctest.Wait()
		if got := count(codes); got[http.StatusServiceUnavailable] != 20 {
			t.Errorf("the others: %v", got)
		}
	})
}

// net/http recovers from a panic in an Authenticator. The next token of the same
// address must still be checked.
func TestAnAuthenticatorThatPanicsHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &failing{err: domain.ErrUnauthenticated}
		registry, _ := newRegistry(t, auth, session.Config{FailureRate: session.Rate{Messages: 0.1}})
		for range 2 { // from now on one token is checked at a time
			_ = open(registry, request("bad"))
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			auth.err = panicking{}
			_ = open(registry, request("odd"))
		}()
		auth.err = nil
		if err := open(registry, request("good")); err != nil {
			t.Errorf("a good token after the panic: %v", err)
		}
	})
}

func count(codes chan int) map[int]int {
	got := make(map[int]int)
	for len(codes) > 0 {
		got[<-codes]++
	}
	return got
}

func TestExpiryBeyondNanosecondsIsKept(t *testing.T) {
	for _, expires := range []time.Time{
		time.Unix(9_999_999_999, 0), time.Unix(9_223_372_037, 0), time.Unix(18_446_744_074, 0), time.Unix(253_402_300_799, 0),
		time.Unix(1<<62, 0), // no token says that, but an Authenticator could
	} {
		synctest.Test(t, func(t *testing.T) {
			registry, _ := newRegistry(t, until{expires}, session.Config{Drain: 1})
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- registry.Run(ctx) }()
			s, err := registry.Open(request("x"), v1)
			if err != nil {
				t.Fatal(err)
			}
			c := &conn{}
			s.Begin(c)
			time.Sleep(10 * time.Second)
			if code := c.closed.Load(); code != 0 {
				t.Errorf("a session until %v was closed with %d", expires, code)
			}
			s.End(0)
			stop()
			<-ended
		})
	}
}

func TestSessionsEndWithTheirTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry, _ := newRegistry(t, until{time.Now().Add(5 * time.Second)}, session.Config{Drain: 1})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- registry.Run(ctx) }()
		s, err := registry.Open(request("x"), v1)
		if err != nil {
			t.Fatal(err)
		}
		c := &conn{}
		s.Begin(c)
		time.Sleep(4900 * time.Millisecond)
		if code := c.closed.Load(); code != 0 {
			t.Errorf("closed with %d before", code)
		}
		time.Sleep(1200 * time.Millisecond)
		if code := c.closed.Load(); code != session.CloseExpired {
			t.Errorf("closed with %d after", code)
		}
		s.End(0)
		stop()
		<-ended
	})
}

func TestProxiesThatNameNoClientAreCountedAndLogged(t *testing.T) {
	proxies := prefixes("192.0.2.0/24")
	registry, logged := newRegistry(t, anyone{}, session.Config{Proxies: proxies})
	for _, header := range []string{"", "unknown", "_hidden", "198.51.100.7:1"} {
		r := request("x")
		if header != "" {
			r.Header.Set("X-Forwarded-For", header)
		}
		if err := open(registry, r); err != nil {
			t.Fatal(err)
		}
	}
	if s := registry.Stats(); s.Unnamed["missing"] != 1 || s.Unnamed["unreadable"] != 2 {
		t.Errorf("counted %v", s.Unnamed)
	}
	if text := logged.String(); !strings.Contains(text, "header=X-Forwarded-For") || !strings.Contains(text, "element=_hidden") {
		t.Errorf("logged %s", text)
	}
}
