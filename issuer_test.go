package fanfare_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare"
)

// An issuer is a small login service: it says where its keys are, and signs tokens. It
// is safe for concurrent use.
type issuer struct {
	url string

	mu        sync.Mutex
	changed   *sync.Cond
	published map[string]*ecdsa.PrivateKey // by kid
	signing   string                       // the kid of the key that signs now
	down      bool
	fetches   int // that have begun
}

func newIssuer(t testing.TB) *issuer {
	i := &issuer{published: make(map[string]*ecdsa.PrivateKey)}
	i.changed = sync.NewCond(&i.mu)
	i.rotate(t, "key-0")
	mux := http.NewServeMux()
	mux.HandleFunc("/realms/shop/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		i.fetches++
		i.changed.Broadcast()
		i.mu.Unlock()
		i.answer(w, map[string]any{"issuer": i.url, "jwks_uri": i.url + "/certs", "scopes_supported": []string{"openid"}})
	})
	mux.HandleFunc("/realms/shop/certs", i.certs)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.url = server.URL + "/realms/shop"
	return i
}

func (i *issuer) answer(w http.ResponseWriter, value any) {
	i.mu.Lock()
	down := i.down
	i.mu.Unlock()
	if down {
		http.Error(w, "try later", http.StatusBadGateway)
		return
	}
	_ = json.NewEncoder(w).Encode(value) // the node says that it got nothing
}

func (i *issuer) certs(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	var set jose.JSONWebKeySet
	for id, private := range i.published {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: private.Public(), KeyID: id, Algorithm: "ES256", Use: "sig"})
	}
	i.mu.Unlock()
	i.answer(w, set)
}

// fetchedTwice waits until two fetches have begun. The second begins when the node has
// taken what the first one brought, which began after the call.
func (i *issuer) fetchedTwice(t *testing.T) {
	t.Helper()
	late := false
	timer := time.AfterFunc(time.Minute, func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		late = true
		i.changed.Broadcast()
	})
	defer timer.Stop()
	i.mu.Lock()
	defer i.mu.Unlock()
	for since := i.fetches; i.fetches < since+2 && !late; {
		i.changed.Wait()
	}
	if late {
		t.Fatal("nobody fetches the keys")
	}
}

// rotate publishes a new key and signs with it from now on.
func (i *issuer) rotate(t testing.TB, id string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.published[id], i.signing = private, id
}

func (i *issuer) remove(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.published, id)
}

func (i *issuer) setDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// isPublished says whether tokens of the key are good.
func (i *issuer) isPublished(id string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.published[id] != nil
}

// token returns an access token of the user, and the key that signed it. It is one as
// login services make them, with nothing of ours in it but a client's roles.
func (i *issuer) token(t testing.TB, user string, change func(jwt.MapClaims)) (text, id string) {
	i.mu.Lock()
	id = i.signing
	private := i.published[id]
	i.mu.Unlock()
	return i.sign(t, private, id, user, change), id
}

func (i *issuer) sign(t testing.TB, private *ecdsa.PrivateKey, id, user string, change func(jwt.MapClaims)) string {
	c := jwt.MapClaims{
		"iss": i.url, "aud": []string{"push", "account"}, "sub": "f:" + user, "preferred_username": user, "typ": "Bearer",
		"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "jti": rand.Text(), "scope": "openid profile",
		"resource_access": map[string]any{"push": map[string]any{"systems": []string{"orders"}}},
	}
	if change != nil {
		change(c)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, c)
	token.Header["kid"] = id
	text, err := token.SignedString(private)
	if err != nil {
		t.Error(err)
	}
	return text
}

// forItsTokens are the settings of a node that takes the issuer's tokens.
func (i *issuer) forItsTokens() fanfare.Config {
	return fanfare.Config{
		Proxies: []string{"127.0.0.0/8"}, Systems: []string{"orders"}, Drain: 1,
		Auth: fanfare.AuthConfig{JWT: fanfare.JWTConfig{
			Issuer: i.url, Discovery: true, Audience: "push", JWKSRefresh: time.Second,
			Claims: fanfare.ClaimsConfig{User: "preferred_username", Systems: "resource_access.push.systems"},
		}},
	}
}

// serveNode runs a node until the test ends.
func serveNode(t *testing.T, cfg fanfare.Config, log io.Writer) (node *fanfare.Node, url string) {
	t.Helper()
	node, err := fanfare.New(t.Context(), cfg, fanfare.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	server := httptest.NewServer(node)
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		server.CloseClientConnections()
		server.Close()
	})
	return node, server.URL
}

// awaitStatus waits until GET of the address is answered with the status.
func awaitStatus(t *testing.T, url string, status int) {
	t.Helper()
	last := 0
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-poll.C {
		answer, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if last = answer.StatusCode; last == status {
			return
		}
	}
	t.Fatalf("%s is answered with %d, want %d", url, last, status)
}

// A guest is what a client knows after it tried to connect.
type guest struct {
	status int    // 200 or 101 if it has a session
	detail string // of a problem
	stream *http.Response
	socket *websocket.Conn
}

func (g guest) leave() {
	if g.stream != nil {
		g.stream.Body.Close()
	}
	if g.socket != nil {
		g.socket.Close()
	}
}

// visit connects with a token to /ws or /sse, from an address of the user's own.
func visit(t *testing.T, url, path, token string, user int) (g guest) {
	header := http.Header{"X-Forwarded-For": {fmt.Sprintf("198.51.%d.%d", 100+user/250, user%250)}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	var err error
	var answer *http.Response
	if path == "/ws" {
		d := websocket.Dialer{Subprotocols: []string{"fanfare.v1.json"}, HandshakeTimeout: time.Minute}
		g.socket, answer, err = d.Dial("ws"+strings.TrimPrefix(url, "http")+"/ws?systems=orders", header)
	} else {
		var r *http.Request
		if r, err = http.NewRequest(http.MethodGet, url+"/sse?systems=orders", nil); err == nil {
			r.Header = header
			answer, err = http.DefaultClient.Do(r)
		}
	}
	if answer == nil {
		t.Errorf("%s: %v", path, err)
		return g
	}
	g.status = answer.StatusCode
	if g.status == http.StatusOK {
		g.stream = answer
		return g
	}
	if g.status != http.StatusSwitchingProtocols {
		var problem struct{ Detail string }
		_ = json.NewDecoder(answer.Body).Decode(&problem) // an empty detail says it
		answer.Body.Close()
		g.detail = problem.Detail
	}
	return g
}

func (g guest) isIn() bool { return g.stream != nil || g.socket != nil && g.status == 101 }

// While an issuer rotates its keys, nobody with a good token is refused, and nobody gets
// in with a key that has ended, be it remembered or not.
func TestAnIssuerRotatesItsKeysUnderTwoHundredUsers(t *testing.T) {
	t.Parallel()
	const connected, reconnecting, rotations = 100, 100, 3
	issuer := newIssuer(t)
	node, url := serveNode(t, issuer.forItsTokens(), io.Discard)
	awaitStatus(t, url+"/readyz", http.StatusOK)
	path := func(user int) string { return []string{"/ws", "/sse"}[user%2] }
	told := make(chan error, connected)
	for user := range connected {
		text, _ := issuer.token(t, fmt.Sprint("u", user), nil)
		g := visit(t, url, path(user), text, user)
		defer g.leave()
		if !g.isIn() {
			t.Fatalf("%s: %+v", path(user), g)
		}
		go func() { told <- g.hears("still here") }()
	}

	var mu sync.Mutex
	came := sync.NewCond(&mu)
	const enough = 20                 // tokens that are tried again when their key has ended
	olds := make(map[string][]string) // tokens by key, all of which were good once
	good, visits := 0, 0
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	pace := time.NewTicker(4 * time.Millisecond) // so that a small machine keeps up
	defer pace.Stop()
	for user := connected; user < connected+reconnecting; user++ {
		all.Go(func() {
			text, id := issuer.token(t, fmt.Sprint("u", user), nil)
			for n := 0; ; n++ {
				select {
				case <-pace.C:
				case <-ctx.Done():
					return
				}
				if n%2 == 0 { // every second time with the same token, which is remembered
					text, id = issuer.token(t, fmt.Sprint("u", user), nil)
				}
				before := issuer.isPublished(id)
				g := visit(t, url, path(user), text, user)
				g.leave()
				if before && issuer.isPublished(id) && !g.isIn() {
					t.Errorf("user %d was refused with a good token of %s: %d %s", user, id, g.status, g.detail)
				}
				mu.Lock()
				visits++
				if g.isIn() {
					good++
					if len(olds[id]) < enough {
						olds[id] = append(olds[id], text)
						came.Signal()
					}
				}
				mu.Unlock()
			}
		})
	}
	for n := range rotations {
		old := fmt.Sprint("key-", n)
		mu.Lock()
		for len(olds[old]) < enough { // users come all the time, and get in
			came.Wait()
		}
		mu.Unlock()
		if n == 1 { // keys that are known still count
			issuer.setDown(true)
			issuer.fetchedTwice(t)
			issuer.setDown(false)
		}
		issuer.rotate(t, fmt.Sprint("key-", n+1))
		issuer.fetchedTwice(t)
		issuer.remove(old)
		issuer.fetchedTwice(t)
		mu.Lock()
		tokens := slices.Clone(olds[old])
		mu.Unlock()
		var tries sync.WaitGroup
		for i, text := range tokens {
			tries.Go(func() {
				g := visit(t, url, path(i), text, 1000+i)
				g.leave()
				if g.status != http.StatusUnauthorized || !strings.Contains(g.detail, "the key that signed the token is not known here") {
					t.Errorf("a token of %s, which has ended: %d %s", old, g.status, g.detail)
				}
			})
		}
		tries.Wait()
	}
	stop()
	all.Wait()
	t.Logf("%d visits, %d of them good, with %v", visits, good, slices.Sorted(maps.Keys(olds)))
	if _, err := node.Publish(t.Context(), "orders", fanfare.Message{To: []string{"*"}, Data: json.RawMessage(`"still here"`)}); err != nil {
		t.Fatal(err)
	}
	late := time.After(time.Minute)
	for n := range connected {
		select {
		case err := <-told:
			if err != nil {
				t.Errorf("a session was lost: %v", err)
			}
		case <-late:
			t.Fatalf("%d sessions were told nothing", connected-n)
		}
	}
}

// hears reads what the guest is told until it holds the words.
func (g guest) hears(words string) error {
	buffer := make([]byte, 4096)
	for told := ""; !strings.Contains(told, words); {
		var n int
		var more []byte
		var err error
		if g.socket != nil {
			_, more, err = g.socket.ReadMessage()
		} else {
			n, err = g.stream.Body.Read(buffer)
			more = buffer[:n]
		}
		if told += string(more); err != nil {
			return fmt.Errorf("%w, told %s", err, told)
		}
	}
	return nil
}

// A node that starts before its issuer lets others serve clients, says why, and catches
// up by itself. What needs no keys works meanwhile.
func TestANodeStartsBeforeItsIssuer(t *testing.T) {
	t.Parallel()
	issuer := newIssuer(t)
	issuer.setDown(true)
	var log journal
	_, url := serveNode(t, issuer.forItsTokens(), &log)
	text, _ := issuer.token(t, "alice", nil)
	awaitStatus(t, url+"/healthz", http.StatusOK)
	awaitStatus(t, url+"/readyz", http.StatusServiceUnavailable)
	for end := time.Now().Add(time.Minute); !log.has("no token can be checked") && time.Now().Before(end); {
		awaitStatus(t, url+"/readyz", http.StatusServiceUnavailable) // until it has tried to fetch keys
	}
	for user, path := range []string{"/ws", "/sse"} {
		g := visit(t, url, path, text, user)
		g.leave()
		if g.status != http.StatusServiceUnavailable || strings.Contains(g.detail, "502") {
			t.Errorf("%s: %d %s", path, g.status, g.detail)
		}
	}
	for _, want := range []string{"no token can be checked", "answers with status 502", "reason=failed"} {
		if !log.has(want) {
			t.Errorf("%s is not in the log:\n%s", want, &log)
		}
	}
	issuer.setDown(false)
	awaitStatus(t, url+"/readyz", http.StatusOK)
	g := visit(t, url, "/ws", text, 0)
	defer g.leave()
	if !g.isIn() {
		t.Errorf("%d %s", g.status, g.detail)
	}
}

// SetAuth can lead to another issuer, whose keys are then fetched, and back again.
func TestSetAuthLeadsToAnotherIssuer(t *testing.T) {
	t.Parallel()
	one, two := newIssuer(t), newIssuer(t)
	node, url := serveNode(t, one.forItsTokens(), io.Discard)
	awaitStatus(t, url+"/readyz", http.StatusOK)
	for _, to := range []*issuer{two, one, two} {
		other := map[*issuer]*issuer{one: two, two: one}[to]
		if err := node.SetAuth(to.forItsTokens().Auth); err != nil {
			t.Fatal(err)
		}
		token, _ := to.token(t, "alice", nil)
		if g := visit(t, url, "/ws", token, 1); !g.isIn() { // it waits until the keys have come
			t.Errorf("a token of the issuer: %d %s", g.status, g.detail)
		} else {
			g.leave()
		}
		token, _ = other.token(t, "alice", nil)
		if g := visit(t, url, "/ws", token, 1); g.status != http.StatusUnauthorized {
			g.leave()
			t.Errorf("a token of the issuer of before: %d %s", g.status, g.detail)
		}
	}
}
