package fanfare_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/domain"
)

// bySession is how an application knows its users: by the cookie of their session, and the
// sessions that it keeps.
func bySession(users map[string]string) func(*http.Request) (fanfare.Grant, error) {
	return func(r *http.Request) (fanfare.Grant, error) {
		c, err := r.Cookie("session")
		if err != nil {
			return fanfare.Grant{}, fanfare.Refuse("no_cookie", "log in first")
		}
		switch user := users[c.Value]; user {
		case "":
			return fanfare.Grant{}, errors.New("no such session")
		case "mallory":
			return fanfare.Grant{}, fanfare.Forbid("banned", "you are banned")
		case "later":
			return fanfare.Grant{}, fanfare.TryLater(time.Minute, errors.New("no database"))
		default:
			return fanfare.Grant{User: user, Systems: []string{"orders"}, Token: c.Value}, nil
		}
	}
}

// serveWith runs a node with the users' sessions, in memory.
func serveWith(t *testing.T, cfg fanfare.Config, users map[string]string) (*fanfare.Node, *httptest.Server) {
	t.Helper()
	cfg.Drain = time.Millisecond
	n := startNode(t, cfg, fanfare.WithAuthenticator(bySession(users)))
	server := httptest.NewServer(n.g)
	t.Cleanup(server.Close)
	return n.g, server
}

func TestAnApplicationsOwnLoginIsEnough(t *testing.T) {
	users := map[string]string{"a1": "alice", "m1": "mallory", "l1": "later"}
	_, server := serveWith(t, fanfare.Config{}, users)
	for _, tt := range []struct {
		cookie, origin string
		status         int
		detail         string
	}{
		{"a1", server.URL, 200, ""},
		{"", server.URL, 401, "no valid login: log in first"},
		{"x", server.URL, 401, `"no valid login"`},
		{"m1", server.URL, 403, "you are banned"},
		{"l1", server.URL, 503, "not possible now"},
		{"a1", "https://evil.example", 403, "origin is not allowed"},
		{"a1", "", 403, "a login that browsers send by themselves"},
	} {
		header := http.Header{"Origin": {tt.origin}}
		if tt.origin == "" {
			header.Del("Origin")
		}
		if tt.cookie != "" {
			header.Set("Cookie", "session="+tt.cookie)
		}
		c, answer, err := websocket.DefaultDialer.Dial(strings.Replace(server.URL, "http", "ws", 1)+"/ws?systems=orders", header)
		if err == nil {
			c.Close()
		}
		got := 200 // as for /sse
		if answer.StatusCode != http.StatusSwitchingProtocols {
			got = answer.StatusCode
		}
		if got != tt.status {
			t.Errorf("/ws with %q from %q: %d, %v", tt.cookie, tt.origin, got, err)
		}
		r, _ := http.NewRequest(http.MethodGet, server.URL+"/sse?systems=orders", nil)
		r.Header = header
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 512)
		n, _ := w.Body.Read(text)
		w.Body.Close()
		if w.StatusCode != tt.status || !strings.Contains(string(text[:n]), tt.detail) {
			t.Errorf("/sse with %q from %q: %d %s", tt.cookie, tt.origin, w.StatusCode, text[:n])
		}
		if tt.status == 503 && w.Header.Get("Retry-After") != "60" {
			t.Errorf("Retry-After %q", w.Header.Get("Retry-After"))
		}
	}
}

// What the control plane knows holds for logins as for tokens.
func TestLoginsAreRevokedAndUsersBlocked(t *testing.T) {
	g, server := serveWith(t, fanfare.Config{}, map[string]string{"a1": "alice", "a2": "alice"})
	dial := func(cookie string) (*websocket.Conn, int) {
		t.Helper()
		c, answer, err := websocket.DefaultDialer.Dial(strings.Replace(server.URL, "http", "ws", 1)+"/ws?systems=orders",
			http.Header{"Origin": {server.URL}, "Cookie": {"session=" + cookie}})
		if err != nil {
			return nil, answer.StatusCode
		}
		t.Cleanup(func() { c.Close() })
		return c, answer.StatusCode
	}
	closed := func(c *websocket.Conn) int {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				var end *websocket.CloseError
				if !errors.As(err, &end) {
					t.Fatal(err)
				}
				return end.Code
			}
		}
	}
	first, _ := dial("a1")
	second, _ := dial("a2")
	if _, err := g.RevokeToken(t.Context(), "a1", fanfare.Lasting{}); err != nil {
		t.Fatal(err)
	}
	if code := closed(first); code != 4001 {
		t.Errorf("the session of a revoked login was closed with %d", code)
	}
	if _, status := dial("a1"); status != http.StatusUnauthorized {
		t.Errorf("a revoked login: %d", status)
	}
	if _, err := g.RevokeUser(t.Context(), "alice", time.Now(), fanfare.Lasting{}); err != nil {
		t.Fatal(err)
	}
	if code := closed(second); code != 4001 {
		t.Errorf("a session from before was closed with %d", code)
	}
	third, status := dial("a2") // the application has just said that this login is good
	if status != http.StatusSwitchingProtocols {
		t.Fatalf("a login after the time of the revocation: %d", status)
	}
	if _, err := g.Block(t.Context(), "alice", "spam", fanfare.Lasting{}); err != nil {
		t.Fatal(err)
	}
	if code := closed(third); code != 4003 {
		t.Errorf("a blocked user's session was closed with %d", code)
	}
	if _, status := dial("a2"); status != http.StatusForbidden {
		t.Errorf("a blocked user: %d", status)
	}
}

// A session whose login was no token has none that could be replaced, unless tokens count, too.
func TestASessionByLoginIsGivenATokenOnlyIfTokensCount(t *testing.T) {
	const secret = "a secret of at least thirty-two bytes"
	for tokens, want := range map[bool]string{false: "unsupported", true: `"op":"ok"`} {
		cfg := fanfare.Config{}
		if tokens {
			cfg.Auth.JWT.Secret = secret
		}
		_, server := serveWith(t, cfg, map[string]string{"a1": "alice"})
		c, _, err := (&websocket.Dialer{Subprotocols: []string{"fanfare.v1.json"}}).Dial(
			strings.Replace(server.URL, "http", "ws", 1)+"/ws?systems=orders", http.Header{"Origin": {server.URL}, "Cookie": {"session=a1"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if err := c.WriteMessage(websocket.TextMessage, []byte(`{"op":"auth","ref":"1","token":"`+mint(t, secret)+`"}`)); err != nil {
			t.Fatal(err)
		}
		for {
			_, op, err := c.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(op), `"ref":"1"`) {
				continue
			}
			if !strings.Contains(string(op), want) {
				t.Errorf("with tokens %v: %s, want %s", tokens, op, want)
			}
			break
		}
	}
}

func mint(t *testing.T, secret string) string {
	t.Helper()
	j, err := auth.NewJWT(auth.JWTConfig{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	token, err := j.Mint(domain.Grant{User: "alice", Systems: []string{"orders"}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestSetAuthReplacesWhomANodeBelieves(t *testing.T) {
	const old, now = "the old secret has thirty-two bytes", "the new secret has thirty-two bytes"
	key, entry, err := auth.NewKey("shop", domain.Scopes{"publish/orders"}, auth.KeyLimits{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := fanfare.Config{Drain: time.Millisecond}
	cfg.Auth.JWT.Secret = old
	cfg.Auth.APIKeys = []fanfare.Secret{fanfare.Secret(entry)}
	n := startNode(t, cfg)
	answer := func(method, path, credential, body string) int {
		r := httptest.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+credential)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		n.g.ServeHTTP(w, r)
		return w.Code
	}
	check := func(what string, oldToken, newToken, publish int) {
		t.Helper()
		const session = "/sse?systems=orders&check=1"
		got := [...]int{answer("GET", session, mint(t, old), ""), answer("GET", session, mint(t, now), ""),
			answer("POST", "/v1/systems/orders/messages", key, `{"to":"*","data":1}`)}
		if want := [...]int{oldToken, newToken, publish}; got != want {
			t.Errorf("%s: the old token, the new one and publishing: %v, want %v", what, got, want)
		}
	}
	check("at first", 204, 401, 202)
	for _, wrong := range []fanfare.AuthConfig{
		{},
		{JWT: fanfare.JWTConfig{Secret: "short"}, APIKeys: cfg.Auth.APIKeys},
		{JWT: fanfare.JWTConfig{Secret: now}, APIKeys: []fanfare.Secret{"shop"}},
		{JWT: fanfare.JWTConfig{Secret: now, Cache: -1}},
	} {
		if err := n.g.SetAuth(wrong); err == nil || !strings.HasPrefix(err.Error(), "auth") {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	check("after wrong settings", 204, 401, 202)
	if err := n.g.SetAuth(fanfare.AuthConfig{JWT: fanfare.JWTConfig{Secret: now}}); err != nil {
		t.Fatal(err)
	}
	check("after the change", 401, 204, 401)
	if err := n.g.SetAuth(fanfare.AuthConfig{APIKeys: cfg.Auth.APIKeys}); err != nil {
		t.Fatal(err)
	}
	check("without tokens", 401, 401, 202)

	own, _ := serveWith(t, fanfare.Config{}, nil)
	if err := own.SetAuth(fanfare.AuthConfig{Callback: fanfare.CallbackConfig{URL: "http://127.0.0.1"}}); err == nil || !strings.Contains(err.Error(), "WithAuthenticator") {
		t.Errorf("an endpoint beside the program's own login: %v", err)
	}
	dev := startNode(t, fanfare.Config{Dev: true, Drain: time.Millisecond})
	if err := dev.g.SetAuth(cfg.Auth); !errors.Is(err, fanfare.ErrUnsupported) {
		t.Errorf("in development mode: %v", err)
	}
}

// A node asks the application's endpoint who a client without a token is. A token decides
// where there is one.
func TestANodeAsksTheApplicationsEndpoint(t *testing.T) {
	const secret = "a secret of at least thirty-two bytes"
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Cookies map[string][]string }
		_ = json.NewDecoder(r.Body).Decode(&asked)
		switch {
		case r.Header.Get("Authorization") != "Bearer s3cret":
			w.WriteHeader(http.StatusBadGateway)
		case len(asked.Cookies["session"]) != 1:
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"reason":"no_cookie","detail":"log in first"}`)
		default:
			fmt.Fprintf(w, `{"user":%q,"systems":["orders"]}`, asked.Cookies["session"][0])
		}
	}))
	defer endpoint.Close()
	for _, tokens := range []bool{false, true} {
		cfg := fanfare.Config{Drain: time.Millisecond}
		cfg.Auth.Callback = fanfare.CallbackConfig{URL: endpoint.URL, Secret: "s3cret"}
		withToken := http.StatusUnauthorized
		if tokens {
			cfg.Auth.JWT.Secret, withToken = secret, http.StatusNoContent
		}
		n := startNode(t, cfg)
		answer := func(header, value string) (int, string) {
			r := httptest.NewRequest("GET", "http://127.0.0.1/sse?systems=orders&check=1", nil)
			r.Header.Set("Origin", "http://127.0.0.1")
			r.Header.Set(header, value)
			w := httptest.NewRecorder()
			n.g.ServeHTTP(w, r)
			return w.Code, w.Body.String()
		}
		if code, body := answer("Cookie", "session=alice"); code != http.StatusNoContent {
			t.Errorf("tokens %v: a cookie: %d %s", tokens, code, body)
		}
		if code, body := answer("Cookie", "other=alice"); code != http.StatusUnauthorized || !strings.Contains(body, "no valid login: log in first") {
			t.Errorf("tokens %v: no cookie: %d %s", tokens, code, body)
		}
		if code, body := answer("Authorization", "Bearer "+mint(t, secret)); code != withToken {
			t.Errorf("tokens %v: a token: %d %s, want %d", tokens, code, body, withToken)
		}
		cfg.Auth.Callback.Secret = "wrong"
		if err := n.g.SetAuth(cfg.Auth); err != nil {
			t.Fatal(err)
		}
		if code, body := answer("Cookie", "session=alice"); code != http.StatusServiceUnavailable {
			t.Errorf("tokens %v: an endpoint that does not answer: %d %s", tokens, code, body)
		}
	}
	if err := (fanfare.Config{Auth: fanfare.AuthConfig{Callback: fanfare.CallbackConfig{URL: "who", Headers: []string{"Cookie"}}}}).Validate(); err == nil ||
		!strings.Contains(err.Error(), "auth.callback: url: ") || !strings.Contains(err.Error(), "headers: ") {
		t.Errorf("bad settings: %v", err)
	}
}
