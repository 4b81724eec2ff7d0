package ws_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

func TestRefusalsComeBeforeTheUpgrade(t *testing.T) {
	n := serve(t, config{registry: session.Config{FailureRate: session.Rate{Messages: 1000}, Systems: 3, Rooms: 2}})
	v1 := http.Header{"Sec-Websocket-Protocol": {ws.V1}}
	for _, test := range []struct {
		name, token, query string
		header             http.Header
		status             int
		detail             string
	}{
		{"no token", "", "systems=orders", v1, 401, "no valid token"},
		{"bad token", "alice/bad", "systems=orders", v1, 401, "no valid token"},
		{"expired token", "alice/ttl=-1s", "systems=orders", v1, 401, "no valid token"},
		{"basic auth", "", "systems=orders", http.Header{"Authorization": {"Basic YTpi"}}, 401, "no valid token"},
		{"query token that is off", "", "systems=orders&token=alice", v1, 401, "no valid token"},
		{"system not in the token", "alice/orders", "systems=chat", v1, 403, "system chat"},
		{"room not in the token", "alice/lobby", "systems=chat&rooms=chat/attic", v1, 403, "room chat/attic"},
		{"foreign origin", "alice", "systems=orders", http.Header{"Origin": {"https://evil.example"}}, 403, "origin"},
		{"origin null", "alice", "systems=orders", http.Header{"Origin": {"null"}}, 403, "origin"},
		{"cookie without origin", "", "systems=orders", http.Header{"Cookie": {"fanfare_token=alice"}}, 403, "Origin"},
		{"system not served", "alice", "systems=unknown", v1, 404, "unknown"},
		{"no system", "alice", "", v1, 422, "systems"},
		{"bad system", "alice", "systems=orders,Bad.Name", v1, 422, "systems[1]"},
		{"too many systems", "alice", "systems=a,b,c,d", v1, 422, "at most 3"},
		{"plain with two systems", "alice", "systems=orders,chat", http.Header{}, 422, "exactly one"},
		{"plain with traces", "alice", "systems=orders&traceparent=1", http.Header{}, 422, "traceparent: only with"},
		{"plain with resume", "alice", "systems=orders&resume=orders:x", http.Header{}, 422, "resume"},
		{"room without system", "alice", "systems=chat&rooms=lobby", v1, 422, "rooms[0]"},
		{"room of another system", "alice", "systems=orders&rooms=chat/lobby", v1, 422, "rooms[0]"},
		{"empty room", "alice", "systems=chat&rooms=chat/", v1, 422, "rooms[0]"},
		{"control character in room", "alice", "systems=chat&rooms=chat/a%01", v1, 422, "rooms[0]"},
		{"a room that is no UTF-8", "alice", "systems=chat&rooms=chat/a%ff", v1, 422, "rooms[0]"},
		{"half a pair in UTF-8", "alice", "systems=chat&rooms=chat/%ed%a0%bd", v1, 422, "rooms[0]"},
		{"too many rooms", "alice", "systems=chat&rooms=chat/a,chat/b,chat/c", v1, 422, "at most 2"},
		{"bad cursor", "alice", "systems=orders&resume=orders:!!", v1, 422, "resume[0]"},
		{"resume without cursor", "alice", "systems=orders&resume=orders", v1, 422, "resume[0]"},
		{"resume of another system", "alice", "systems=orders&resume=chat:abc", v1, 422, "resume[0]"},
		{"broken escape", "alice", "systems=%zz", v1, 422, "query"},
		{"unknown subprotocol", "alice", "systems=orders", http.Header{"Sec-Websocket-Protocol": {"soap"}}, 422, "Protocol"},
		{"token alone as subprotocol", "", "systems=orders", http.Header{"Sec-Websocket-Protocol": {"fanfare.token.alice"}}, 422, "beside the token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, resp, err := n.try(test.token, test.query, test.header.Clone())
			if err == nil || resp == nil {
				t.Fatalf("want a rejection, got %v", err)
			}
			body, _ := io.ReadAll(resp.Body)
			var problem struct {
				Status int
				Detail string
			}
			if json.Unmarshal(body, &problem) != nil || resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("no problem+json: %v %s", resp.Header, body)
			}
			if resp.StatusCode != test.status || problem.Status != test.status || !strings.Contains(problem.Detail, test.detail) {
				t.Errorf("want %d …%s…, got %s", test.status, test.detail, body)
			}
		})
	}
	if s := n.registry.Stats(); s.Opened != 0 || s.Rejected[401] != 5 {
		t.Errorf("stats: %+v", s)
	}
}

func TestRequestsThatAreNoUpgradeAreRefused(t *testing.T) {
	n := newNode(t, config{})
	defer func() { n.stop(); <-n.stopped }()
	good := http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Authorization": {"Bearer alice"}}
	for _, test := range []struct {
		name, method, header, value string
		status                      int
	}{
		{"plain GET", "GET", "Upgrade", "", 426},
		{"POST", "POST", "", "", 405},
		{"no connection header", "GET", "Connection", "close", 426},
		{"old version", "GET", "Sec-Websocket-Version", "8", 426},
		{"no key", "GET", "Sec-Websocket-Key", "", 400},
		{"short key", "GET", "Sec-Websocket-Key", "YWJj", 400},
		{"not to be hijacked", "GET", "", "", 503},
	} {
		r := httptest.NewRequest(test.method, "/ws?systems=orders", nil)
		r.Header = good.Clone()
		if test.header != "" {
			r.Header.Set(test.header, test.value)
		}
		w := httptest.NewRecorder()
		n.server.ServeHTTP(w, r)
		if w.Code != test.status {
			t.Errorf("%s: want %d, got %d %s", test.name, test.status, w.Code, w.Body)
		}
	}
}

func TestTokenSources(t *testing.T) {
	n := serve(t, config{registry: session.Config{QueryToken: true}})
	host := strings.TrimPrefix(n.url, "ws://")
	for _, test := range []struct {
		name, token, query string
		header             http.Header
		protocol           string
	}{
		{"header", "alice", "", http.Header{"Sec-Websocket-Protocol": {ws.V1}}, ws.V1},
		{"subprotocol", "", "", http.Header{"Sec-Websocket-Protocol": {"fanfare.token.alice, " + ws.V1}}, ws.V1},
		{"subprotocol behind the real one", "", "", http.Header{"Sec-Websocket-Protocol": {ws.V1 + ",fanfare.token.alice"}}, ws.V1},
		{"plain subprotocol", "", "", http.Header{"Sec-Websocket-Protocol": {"fanfare.plain, fanfare.token.alice"}}, ws.Plain},
		{"query", "", "&token=alice", nil, ws.V1},
		{"cookie", "", "", http.Header{"Cookie": {"a=b; fanfare_token=alice"}, "Origin": {"http://" + host},
			"Sec-Websocket-Protocol": {ws.V1}}, ws.V1},
		{"both protocols", "alice", "", http.Header{"Sec-Websocket-Protocol": {ws.Plain + ", " + ws.V1}}, ws.V1},
		{"no protocol", "alice", "", http.Header{}, ""},
		{"header beats cookie", "alice", "", http.Header{"Cookie": {"fanfare_token=mallory/bad"}}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			n.t = t
			c, resp, err := n.try(test.token, "systems=orders"+test.query, test.header)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.conn.Subprotocol(); got != test.protocol || strings.Contains(fmt.Sprint(resp.Header), "token") {
				t.Errorf("protocol %q, header %v", got, resp.Header)
			}
			if test.protocol == ws.V1 && !strings.Contains(c.wants(`{"op":"hello"`), `"user":"alice"`) {
				t.Error("not alice")
			}
		})
	}
}

func TestOriginsFromTheList(t *testing.T) {
	n := serve(t, config{registry: session.Config{Origins: []string{"https://app.example"}}})
	for origin, want := range map[string]bool{"https://app.example": true, "https://APP.example": true,
		"http://app.example": false, "https://app.example.evil": false, "http://" + strings.TrimPrefix(n.url, "ws://"): false} {
		_, _, err := n.try("alice", "systems=orders", http.Header{"Origin": {origin}})
		if (err == nil) != want {
			t.Errorf("%s: %v", origin, err)
		}
	}
}

func TestTokenlessClientsAreWhoTheFunctionSays(t *testing.T) {
	n := serve(t, config{registry: session.Config{Tokenless: func(r *http.Request) (domain.Grant, error) {
		return domain.Grant{User: r.URL.Query().Get("user"), Systems: []string{"*"}}, nil
	}}})
	c := n.dial("", "systems=orders&user=bob", nil)
	if line := c.wants(`{"op":"hello"`); !strings.Contains(line, `"user":"bob"`) {
		t.Error(line)
	}
	if _, resp, err := n.try("", "systems=orders", nil); err == nil || resp.StatusCode != 401 {
		t.Errorf("a user without a name: %v", err)
	}
}

func TestFramesThatComeWithTheHandshakeAreRead(t *testing.T) {
	n := serve(t, config{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.url, "ws://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	request := "GET /ws?systems=chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: fanfare.v1.json\r\n" +
		"Authorization: Bearer alice\r\n\r\n"
	op := `{"op":"join","ref":"early","system":"chat","room":"` + strings.Repeat("r", 200) + `"}`
	frame := append([]byte{0x81, 0x80 | 126, 0, byte(len(op)), 0, 0, 0, 0}, op...)
	if _, err := conn.Write(append([]byte(request), frame...)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for found := false; !found; {
		line, err := r.ReadString('}')
		if err != nil {
			t.Fatalf("no answer to the early op: %v", err)
		}
		found = strings.Contains(line, `{"op":"ok","ref":"early"}`)
	}
}

func TestSessionsOverTLS(t *testing.T) {
	n := newNode(t, config{registry: session.Config{Drain: 1}})
	listener := httptest.NewTLSServer(n.server)
	defer func() { n.stop(); <-n.stopped; listener.Close() }()
	dialer := websocket.Dialer{TLSClientConfig: listener.Client().Transport.(*http.Transport).TLSClientConfig}
	conn, _, err := dialer.Dial("wss"+strings.TrimPrefix(listener.URL, "https")+"/ws?systems=orders",
		http.Header{"Authorization": {"Bearer alice"}, "Sec-Websocket-Protocol": {ws.V1}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &client{t: t, conn: conn}
	c.wants(`{"op":"hello"`)
	big := `"` + strings.Repeat("x", 100_000) + `"`
	n.deliver("user:alice", "orders", big)
	c.wantsData(big)
	n.registry.Disconnect("alice", control.Value{})
	c.wantsClose(session.CloseDisconnected)
}

func TestConfigurationFaultsAreNamed(t *testing.T) {
	err := errors.Join(session.Config{Systems: -1, Origins: []string{"app.example"}}.Validate(),
		ws.Config{Ping: 70e9, SessionRate: session.Rate{Bytes: -1}}.Validate())
	for _, want := range []string{"systems", "pong wait", `"app.example"`, "session rate"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s in %v", want, err)
		}
	}
	if _, err := session.New(nil, nil, session.Config{}, nil); err == nil {
		t.Error("a server to which nobody can connect")
	}
}

func FuzzHandshake(f *testing.F) {
	f.Add("systems=orders,chat&rooms=chat/lobby&resume=orders:x", ws.V1, "Bearer alice", "", "http://node")
	f.Add("systems=orders", "fanfare.token.alice, "+ws.Plain, "", "fanfare_token=bob", "https://node")
	f.Add("systems=%00&rooms=/&resume=:", ",,", "Bearer ", "=", "::")
	n := newNode(f, config{registry: session.Config{QueryToken: true, FailureRate: session.Rate{Messages: 1e9}}})
	f.Cleanup(func() { n.stop(); <-n.stopped })
	f.Fuzz(func(t *testing.T, query, protocols, authorization, cookie, origin string) {
		r := httptest.NewRequest("GET", "/ws", nil)
		r.URL.RawQuery = query
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Protocol": {protocols},
			"Authorization": {authorization}, "Cookie": {cookie}, "Origin": {origin}}
		w := httptest.NewRecorder()
		n.server.ServeHTTP(w, r)
		switch w.Code {
		case 401, 403, 404, 422, 503: // 503: a recorder can not be hijacked
		default:
			t.Fatalf("status %d %s", w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("no JSON: %q", w.Body)
		}
	})
}

func TestSessionsThroughAReverseProxy(t *testing.T) {
	n := serve(t, config{})
	target, err := url.Parse("http" + strings.TrimPrefix(n.url, "ws"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() }})
	t.Cleanup(proxy.Close)
	n.url = "ws" + strings.TrimPrefix(proxy.URL, "http")
	c := n.v1("alice", "systems=orders")
	n.deliver("user:alice", "orders", `1`)
	c.wantsData(`1`)
	c.says(`{"op":"send","ref":1,"system":"orders","data":1}`)
	c.wants(`{"op":"ok","ref":1`)
	n.registry.Disconnect("alice", control.Value{})
	c.wantsClose(session.CloseDisconnected)
	if _, resp, err := n.try("alice/bad", "systems=orders", nil); err == nil || resp.StatusCode != 401 {
		t.Errorf("rejections do not come through: %v", err)
	}
}
