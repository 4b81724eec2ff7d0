package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// A bad publish publishes nothing, and is answered with problem+json that says
// what is wrong, through the load balancer as well.
func TestBadPublishIsExplained(t *testing.T) {
	chatKey := "a key for chat alone"
	sum := sha256.Sum256([]byte(chatKey))
	c := newCluster(t, 1, "memory://", settings{"CONTROL_DISABLED": "true"}) // so that it publishes nothing by itself
	c.env["AUTH_API_KEYS"] += ",chat:publish/chat:" + hex.EncodeToString(sum[:])
	c.nodes[0].end()
	c.nodes[0] = c.startNode("n1")
	c.nodes[0].waitReady()
	c.withNginx()

	const good = `{"to":"user:a","data":1}`
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, test := range []struct {
		name, system, body string
		change             func(*http.Request)
		status             int
		location           string // of the first error, if one is to be named
	}{
		{"system is not served", "nope", good, nil, 404, ""},
		{"system has a bad name", "UPPER", good, nil, 422, "system"},
		{"target without a kind", "orders", `{"to":"alice","data":1}`, nil, 422, "to"},
		{"target without a name", "orders", `{"to":["user:a","room:"],"data":1}`, nil, 422, "to[1]"},
		{"no target", "orders", `{"data":1}`, nil, 422, "to"},
		{"name too long", "orders", `{"to":"user:` + strings.Repeat("u", 257) + `","data":1}`, nil, 422, "to"},
		{"ttl", "orders", `{"to":"user:a","data":1,"ttl":-1}`, nil, 422, "ttl"},
		{"unknown field", "orders", `{"to":"user:a","dta":1}`, nil, 422, "dta"},
		{"stamped field", "orders", `{"to":"user:a","from":"bob"}`, nil, 422, "from"},
		{"second of a batch", "orders", `[` + good + `,{"to":"x","data":1}]`, nil, 422, "[1].to"},
		{"empty batch", "orders", `[]`, nil, 422, ""},
		{"malformed", "orders", `{"to":"user:a",`, nil, 400, ""},
		{"malformed batch", "orders", `[` + good + `,`, nil, 400, ""},
		{"malformed line", "orders", good + "\n{\n", with("Content-Type", "application/x-ndjson"), 400, "[1]"},
		{"empty", "orders", ``, nil, 400, ""},
		{"no UTF-8", "orders", "{\"to\":\"user:a\",\"data\":\"\xff\"}", nil, 400, ""},
		{"data too large", "orders", `{"to":"user:a","data":"` + strings.Repeat("x", 70_000) + `"}`, nil, 413, "data"},
		{"body too large", "orders", `{"to":"user:a","data":"` + strings.Repeat("x", 6_000_000) + `"}`, nil, 413, ""},
		{"batch too long", "orders", `[` + good + strings.Repeat(","+good, 1000) + `]`, nil, 413, ""},
		{"no key", "orders", good, func(r *http.Request) { r.Header.Del("Authorization") }, 401, ""},
		{"wrong key", "orders", good, with("Authorization", "Bearer guess"), 401, ""},
		{"key with another scheme", "orders", good, with("Authorization", "Basic "+c.key), 401, ""},
		{"key of another system", "orders", good, with("Authorization", "Bearer "+chatKey), 403, ""},
		{"form", "orders", good, with("Content-Type", "text/plain"), 415, ""},
		{"compressed", "orders", good, with("Content-Encoding", "gzip"), 415, ""},
		{"PUT", "orders", ``, func(r *http.Request) { r.Method = http.MethodPut }, 405, ""},
		{"another path", "orders/too", good, nil, 404, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodPost, "http://"+c.front+"/v1/systems/"+test.system+"/messages", strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+c.key)
			if test.change != nil {
				test.change(req)
			}
			a, err := do(req)
			if err != nil {
				t.Fatal(err)
			}
			if kind := a.header.Get("Content-Type"); a.status != test.status || kind != "application/problem+json" {
				t.Errorf("%d %s, want %d application/problem+json: %.300s", a.status, kind, test.status, a.body)
			}
			if test.location != "" && (len(a.Errors) == 0 || a.Errors[0].Location != test.location) {
				t.Errorf("named %+v, want %q first", a.Errors, test.location)
			}
		})
	}
	if n := c.metric("fanfare_bus_published_total"); n != 0 {
		t.Errorf("%v messages were published", n)
	}
	if status, _, err := get("http://" + c.front + "/metrics"); err != nil || status != http.StatusNotFound {
		t.Errorf("metrics behind the load balancer: %d %v, want 404", status, err)
	}
}

// A client that may not connect is refused before the upgrade to WebSocket.
func TestBadConnectIsRefusedBeforeTheUpgrade(t *testing.T) {
	c := newCluster(t, 1, "memory://", nil)
	c.withNginx()
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	all := []string{"*"}
	good := c.token("alice", "orders")
	stranger, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice", "exp": in(time.Hour), "systems": all}).SignedString(random(48))
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "alice", "exp": in(time.Hour), "systems": all}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, query, token string
		protocols          []string
		origin             string
		status             int
	}{
		{"no token", "systems=orders", "", nil, "", 401},
		{"no JWT", "systems=orders", "guess", nil, "", 401},
		{"another secret", "systems=orders", stranger, nil, "", 401},
		{"no signature", "systems=orders", unsigned, nil, "", 401},
		{"expired", "systems=orders", c.sign(jwt.MapClaims{"sub": "alice", "exp": in(-time.Minute), "systems": all}), nil, "", 401},
		{"does not expire", "systems=orders", c.sign(jwt.MapClaims{"sub": "alice", "systems": all}), nil, "", 401},
		{"no user", "systems=orders", c.sign(jwt.MapClaims{"exp": in(time.Hour), "systems": all}), nil, "", 401},
		{"token in the query", "systems=orders&token=" + good, "", nil, "", 401},
		{"system is not granted", "systems=chat", good, nil, "", 403},
		{"one of two systems is not granted", "systems=orders,chat", good, []string{"fanfare.v1.json"}, "", 403},
		{"room is not granted", "systems=orders&rooms=orders/x", c.sign(jwt.MapClaims{"sub": "alice", "exp": in(time.Hour), "systems": all}), nil, "", 403},
		{"foreign page", "systems=orders", good, nil, "https://evil.example", 403},
		{"system is not served", "systems=nope", c.sign(jwt.MapClaims{"sub": "alice", "exp": in(time.Hour), "systems": all}), nil, "", 404},
		{"no systems", "", good, nil, "", 422},
		{"system has a bad name", "systems=UPPER", good, nil, "", 422},
		{"room has a bad name", "systems=orders&rooms=orders/", good, nil, "", 422},
		{"cursor is none", "systems=orders&resume=orders:AAAA", good, []string{"fanfare.v1.json"}, "", 422},
		{"too many systems", "systems=" + strings.Repeat("orders,", 16) + "chat", good, []string{"fanfare.v1.json"}, "", 422},
		{"plain with two systems", "systems=orders,chat", c.token("alice", "orders", "chat"), nil, "", 422},
		{"unknown protocol", "systems=orders", good, []string{"chat"}, "", 422},
	} {
		t.Run(test.name, func(t *testing.T) {
			header := http.Header{}
			if test.token != "" {
				header.Set("Authorization", "Bearer "+test.token)
			}
			if test.origin != "" {
				header.Set("Origin", test.origin)
			}
			d := websocket.Dialer{Subprotocols: test.protocols, HandshakeTimeout: 10 * time.Second}
			conn, res, err := d.Dial("ws://"+c.front+"/ws?"+test.query, header)
			if err == nil {
				conn.Close()
				t.Fatalf("was let in, want %d", test.status)
			}
			if res == nil {
				t.Fatal(err)
			}
			if kind := res.Header.Get("Content-Type"); res.StatusCode != test.status || kind != "application/problem+json" {
				t.Errorf("%d %s, want %d application/problem+json", res.StatusCode, kind, test.status)
			}
		})
	}
	if status, body, err := get("http://" + c.front + "/ws?systems=orders"); err != nil || status != http.StatusUpgradeRequired {
		t.Errorf("GET without an upgrade: %d %s %v", status, body, err)
	}
	// A client that shows one wrong token after the other is told to stay away.
	// Other clients are not, although all come through the load balancer. Nor is a
	// client with a good token, wherever it comes from.
	answer := func(from, token string) int {
		d := websocket.Dialer{HandshakeTimeout: 10 * time.Second}
		conn, res, err := d.Dial("ws://"+c.front+"/ws?systems=orders", http.Header{"X-Forwarded-For": {from}, "Authorization": {"Bearer " + token}})
		if res == nil {
			t.Fatal(err)
		}
		if err == nil {
			conn.Close()
		}
		return res.StatusCode
	}
	eventually(t, 20*time.Second, "a client is refused too often", func() error {
		for range 20 {
			if answer("198.51.100.7:1234", "wrong") == http.StatusTooManyRequests {
				return nil
			}
		}
		return errors.New("it is still heard")
	})
	if status := answer("198.51.100.8:1234", "wrong"); status != http.StatusUnauthorized {
		t.Errorf("another client got %d, want 401", status)
	}
	if status := answer("198.51.100.7", good); status != http.StatusSwitchingProtocols {
		t.Errorf("a good token from the same address got %d", status)
	}
	// A page of the same host, which the load balancer must not hide, may.
	d := websocket.Dialer{HandshakeTimeout: 10 * time.Second}
	conn, res, err := d.Dial("ws://"+c.front+"/ws?systems=orders", http.Header{"Authorization": {"Bearer " + good}, "Origin": {"http://" + c.front}})
	if err != nil {
		t.Fatal(fmt.Errorf("a page of the same host: %w: %v", err, res))
	}
	conn.Close()
}
