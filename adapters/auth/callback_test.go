package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
)

// An endpoint is an application that is asked who clients are.
type endpoint struct {
	*httptest.Server
	asked atomic.Int64
	last  atomic.Pointer[http.Request]
	body  atomic.Pointer[[]byte] // of last
}

func serveEndpoint(t *testing.T, answer http.HandlerFunc) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e.last.Store(r)
		e.body.Store(&body)
		e.asked.Add(1)
		answer(w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func callback(t *testing.T, cfg auth.CallbackConfig) *auth.Callback {
	t.Helper()
	c, err := auth.NewCallback(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// asking is a request of a client, with headers.
func asking(ctx context.Context, headers ...string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://push.example.com/ws?systems=orders&_room=7", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

var client = netip.MustParseAddr("192.0.2.7")

func TestAnEndpointIsAskedAndGrants(t *testing.T) {
	e := serveEndpoint(t, answering(200, `{"user":"alice","systems":["orders"],"rooms":["chat/*"],"send":["chat/inbound"],`+
		`"presence":["chat/"],"jti":"s1","expires":"2100-01-01T00:00:00Z","other":{"ignored":true}}`))
	c := callback(t, auth.CallbackConfig{URL: e.URL + "/who", Secret: "s3cret", Headers: []string{"x-tenant", "User-Agent"}})
	begin := time.Now()
	got, err := c.Login(asking(t.Context(), "Cookie", "sid=1; sid=2; theme=dark", "X-Tenant", "acme", "Authorization", "Basic x"), client, "tok")
	if err != nil {
		t.Fatal(err)
	}
	if got.Issued.Before(begin) || got.Issued.After(time.Now()) {
		t.Errorf("issued %v", got.Issued)
	}
	got.Issued = time.Time{}
	want := domain.Grant{User: "alice", Systems: []string{"orders"}, Rooms: []string{"chat/*"}, Send: []string{"chat/inbound"},
		Presence: []string{"chat/"}, Token: "s1", Expires: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("granted %+v, want %+v", got, want)
	}
	r := e.last.Load()
	if r.Method != http.MethodPost || r.URL.Path != "/who" || r.Header.Get("Authorization") != "Bearer s3cret" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("asked with %s %s, %v", r.Method, r.URL, r.Header)
	}
	var body, wanted any
	if err := json.Unmarshal(*e.body.Load(), &body); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal([]byte(`{"path":"/ws","remote_addr":"192.0.2.7","cookies":{"sid":["1","2"],"theme":["dark"]},
		"headers":{"X-Tenant":["acme"]},"query":{"systems":["orders"],"_room":["7"]},"token":"tok"}`), &wanted)
	if !reflect.DeepEqual(body, wanted) {
		t.Errorf("asked with %s", *e.body.Load())
	}
}

func TestWhatAnEndpointAnswers(t *testing.T) {
	elsewhere := serveEndpoint(t, answering(200, `{"user":"eve"}`))
	moved := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		is     error // nil: none that says that the client is refused
		reason string
		told   string
		text   string
	}{
		"refused":              {answering(401, `{"reason":"stale","detail":"log in again"}`), domain.ErrUnauthenticated, "stale", "log in again", "log in again"},
		"refused, no reason":   {answering(401, ""), domain.ErrUnauthenticated, "callback", "", "refused"},
		"refused, an odd one":  {answering(401, `{"reason":"Not Logged In","detail":"a\u0000b\n`+strings.Repeat("x", 300)+`"}`), domain.ErrUnauthenticated, "callback", "a b " + strings.Repeat("x", 196), "a b"},
		"refused, with a page": {answering(401, "<html>"), domain.ErrUnauthenticated, "callback", "", "refused"},
		"forbidden":            {answering(403, `{"reason":"banned","detail":"go away"}`), domain.ErrForbidden, "banned", "go away", "go away"},
		"failed":               {answering(500, `{"user":"alice"}`), nil, "", "", "answered 500"},
		"no content":           {answering(204, ""), nil, "", "", "answered 204"},
		"moved":                {moved, nil, "", "", "answered 307"},
		"a page":               {answering(200, "<html>log in</html>"), nil, "", "", "no JSON object"},
		"twice":                {answering(200, `{"user":"alice","user":"bob"}`), nil, "", "", "no JSON object"},
		"of another type":      {answering(200, `{"user":7}`), nil, "", "", "user: want a string"},
		"milliseconds":         {answering(200, `{"user":"alice","expires":1793664000000}`), nil, "", "", "expires: want seconds"},
		"cached for ever":      {answering(200, `{"user":"alice","cache":"1h"}`), nil, "", "", "cache: want a number"},
		"too long":             {answering(200, `{"user":"`+strings.Repeat("a", 70<<10)+`"}`), nil, "", "", "more than 65536 bytes"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"user":"alice"}`)
		}, nil, "", "", "reading its answer"},
	} {
		e := serveEndpoint(t, tt.answer)
		_, err := callback(t, auth.CallbackConfig{URL: e.URL + "/?key=s3cret"}).Login(asking(t.Context(), "Cookie", "sid=1"), client, "")
		is := errors.Is(err, domain.ErrUnauthenticated) || errors.Is(err, domain.ErrForbidden)
		if err == nil || is != (tt.is != nil) || is && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
		if c := (*domain.CredentialError)(nil); errors.As(err, &c) && (c.Reason != tt.reason || c.Told != tt.told) {
			t.Errorf("%s: reason %q, told %q", name, c.Reason, c.Told)
		}
	}
	if n := elsewhere.asked.Load(); n != 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
	gone := serveEndpoint(t, answering(200, ""))
	gone.Close()
	_, err := callback(t, auth.CallbackConfig{URL: gone.URL + "/?key=s3cret"}).Login(asking(t.Context()), client, "")
	if err == nil || errors.Is(err, domain.ErrUnauthenticated) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("an endpoint that is down: %v", err)
	}
}

func TestGrantsAreRememberedByCredential(t *testing.T) {
	answer := `{"user":"alice","cache":60}`
	e := serveEndpoint(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, answer) })
	c := callback(t, auth.CallbackConfig{URL: e.URL})
	steps := []struct {
		name    string
		answer  string
		headers []string
		path    string
		token   string
		asks    int64
	}{
		{"the first time", `{"user":"alice","cache":60}`, []string{"Cookie", "sid=1"}, "/ws?systems=orders", "", 1},
		{"again, elsewhere", "", []string{"Cookie", "sid=1"}, "/sse?systems=chat&resume=chat:x", "", 0},
		{"another cookie", `{"user":"bob","cache":60}`, []string{"Cookie", "sid=2"}, "/ws?systems=orders", "", 1},
		{"one cookie more", `{"user":"eve","cache":60}`, []string{"Cookie", "sid=1; a=b"}, "/ws?systems=orders", "", 1},
		{"another browser", `{"user":"alice","cache":60}`, []string{"Cookie", "sid=1", "User-Agent", "x"}, "/ws?systems=orders", "", 1},
		{"a parameter of the application's", `{"user":"carol","cache":60}`, []string{"Cookie", "sid=1"}, "/ws?systems=orders&_as=carol", "", 1},
		{"a token", `{"user":"dan","cache":60}`, nil, "/ws?systems=orders", "t", 1},
		{"the token again", "", nil, "/ws?systems=orders", "t", 0},
		{"nothing that proves anything", `{"user":"guest","cache":60}`, []string{"User-Agent", "x", "Origin", "https://a.example"}, "/ws?systems=orders", "", 1},
		{"nothing again", `{"user":"guest","cache":60}`, []string{"User-Agent", "x", "Origin", "https://a.example"}, "/ws?systems=orders", "", 1},
		{"not to be remembered", `{"user":"fay"}`, []string{"Cookie", "sid=3"}, "/ws?systems=orders", "", 1},
		{"asked again", `{"user":"fay","cache":60,"expires":1}`, []string{"Cookie", "sid=3"}, "/ws?systems=orders", "", 1},
		{"what has expired is not remembered", `{"user":"fay","cache":60,"systems":["Bad"]}`, []string{"Cookie", "sid=3"}, "/ws?systems=orders", "", 1},
		{"nor what makes no sense", `{"user":"fay","cache":60}`, []string{"Cookie", "sid=3"}, "/ws?systems=orders", "", 1},
		{"but this", "", []string{"Cookie", "sid=3"}, "/ws?systems=orders", "", 0},
	}
	users := map[string]string{}
	for _, s := range steps {
		before := e.asked.Load()
		answer = s.answer
		r := asking(t.Context(), s.headers...)
		r.URL, _ = r.URL.Parse(s.path)
		g, err := c.Login(r, client, s.token)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if got := e.asked.Load() - before; got != s.asks {
			t.Errorf("%s: asked %d times, want %d", s.name, got, s.asks)
		}
		id := fmt.Sprint(s.headers, s.token)
		if s.asks == 0 && users[id] != g.User {
			t.Errorf("%s: it is %q, was %q", s.name, g.User, users[id])
		}
		if !strings.Contains(s.path, "_as") {
			users[id] = g.User
		}
	}
}

// However many clients come while the endpoint hangs, only so many wait, for so long, and soon
// nobody waits any more.
func TestADeadEndpointHoldsFewRequests(t *testing.T) {
	release := make(chan struct{})
	e := serveEndpoint(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	c := callback(t, auth.CallbackConfig{URL: e.URL, Timeout: 200 * time.Millisecond, Concurrency: 2})
	const clients = 200
	ended := make(chan error, clients)
	for range clients {
		go func() {
			_, err := c.Login(asking(t.Context(), "Cookie", "sid=1"), client, "")
			ended <- err
		}()
	}
	kinds := map[string]int{}
	for range clients {
		err := <-ended
		switch {
		case err == nil || errors.Is(err, domain.ErrUnauthenticated):
			t.Fatalf("got %v", err)
		case errors.Is(err, context.DeadlineExceeded):
			if kinds["waited"]++; !strings.Contains(err.Error(), "no answer within 200ms (auth.callback.timeout)") {
				t.Fatalf("got %v", err)
			}
		default:
			kinds[err.Error()]++
		}
	}
	if kinds["waited"] > 2*16+2 || kinds["auth.callback: too many requests wait for an answer"] == 0 {
		t.Errorf("%v", kinds)
	}
	for range 20 { // enough of them have failed
		_, _ = c.Login(asking(t.Context(), "Cookie", "sid=1"), client, "")
	}
	before, begin := e.asked.Load(), time.Now()
	for range 1000 {
		if _, err := c.Login(asking(t.Context(), "Cookie", "sid=1"), client, ""); err == nil {
			t.Fatal("it was granted")
		}
		if time.Since(begin) > 500*time.Millisecond {
			break
		}
	}
	if asked := e.asked.Load() - before; asked > 5 {
		t.Errorf("a dead endpoint was asked %d times more", asked)
	}
}

// Whoever can have the endpoint answer in an odd way must not keep all others out.
func TestAnEndpointThatAnswersIsNotLeftAlone(t *testing.T) {
	for answer, alone := range map[int]bool{400: false, 404: false, 422: false, 500: false, 302: false, 200: false, 429: true, 502: true, 503: true, 504: true} {
		var e *endpoint
		e = serveEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			if strings.Contains(string(*e.body.Load()), "good") {
				_, _ = io.WriteString(w, `{"user":"alice"}`)
				return
			}
			w.WriteHeader(answer) // with nothing that can be read
		})
		c := callback(t, auth.CallbackConfig{URL: e.URL})
		for range 20 {
			if _, err := c.Login(asking(t.Context(), "Cookie", "sid=odd"), client, ""); err == nil || errors.Is(err, domain.ErrUnauthenticated) {
				t.Errorf("%d: %v", answer, err)
			}
		}
		if _, err := c.Login(asking(t.Context(), "Cookie", "sid=good"), client, ""); (err != nil) != alone {
			t.Errorf("after many answers with %d: %v", answer, err)
		}
	}
}

func TestSoManyQuestionsAreAskedAtATime(t *testing.T) {
	var now, most atomic.Int64
	both := make(chan struct{})
	e := serveEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		defer now.Add(-1)
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-both
		_, _ = io.WriteString(w, `{"user":"alice"}`)
	})
	c := callback(t, auth.CallbackConfig{URL: e.URL, Timeout: 20 * time.Second, Concurrency: 2})
	const clients = 20
	ended := make(chan error, clients)
	for range clients {
		go func() {
			_, err := c.Login(asking(t.Context(), "Cookie", "sid=1"), client, "")
			ended <- err
		}()
	}
	for range clients {
		both <- struct{}{} // one after the other is answered
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if most.Load() > 2 {
		t.Errorf("%d were asked at a time", most.Load())
	}
}

func TestBadSettingsOfACallbackAreAllNamed(t *testing.T) {
	for _, cfg := range []auth.CallbackConfig{
		{}, {URL: "who"}, {URL: "ftp://h/"}, {URL: "http://"}, {URL: "http://u:s3cret@h/"}, {URL: "http://h/#x"}, {URL: "http://h:s3cret/"},
		{URL: "http://h", Timeout: -1}, {URL: "http://h", Concurrency: -1}, {URL: "http://h", Headers: []string{"Cookie"}},
		{URL: "http://h", Headers: []string{"a b"}}, {URL: "http://h", Headers: []string{""}}, {URL: "http://h", Secret: "s3cret\n"},
	} {
		if _, err := auth.NewCallback(cfg); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	if err := (auth.CallbackConfig{URL: "ftp://h", Timeout: -1, Headers: []string{"Cookie"}}).Validate(); strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v", err)
	}
}
