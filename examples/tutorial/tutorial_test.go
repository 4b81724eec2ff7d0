package tutorial_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/examples/tutorial"
	"github.com/fanfarebus/fanfare/test/broker"
)

var login = tutorial.CookieLogin(map[string]string{"cookie-of-alice": "alice", "cookie-of-bob": "bob"})

// servers are the two ways to serve the pages.
var servers = map[string]func(*testing.T, *broker.RedisServer) *httptest.Server{
	"before": before, "after": after,
}

func before(t *testing.T, redis *broker.RedisServer) *httptest.Server {
	handler, err := tutorial.Before(t.Context(), redis.Client(), login)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, handler)
}

// after starts a node and waits until it hears the channel.
func after(t *testing.T, redis *broker.RedisServer) *httptest.Server {
	node, handler, err := tutorial.After(t.Context(), redis.URL("redis"), login)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	server := serve(t, handler)
	t.Cleanup(func() { // before the server closes
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for !ready(t, server) {
		select {
		case <-time.After(10 * time.Millisecond):
		case err := <-ended:
			t.Fatal(err)
		}
	}
	return server
}

func serve(t *testing.T, handler http.Handler) *httptest.Server {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func ready(t *testing.T, server *httptest.Server) bool {
	answer, err := http.Get(server.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// A page is what the application has in the browser: a WebSocket to /ws, opened by a page
// of the same host with the cookie of its user.
type page struct {
	t    *testing.T
	conn *websocket.Conn
}

func open(t *testing.T, server *httptest.Server, user string) *page {
	header := http.Header{"Cookie": {"session=cookie-of-" + user}, "Origin": {server.URL}}
	conn, _, err := websocket.DefaultDialer.Dial(strings.Replace(server.URL, "http", "ws", 1)+"/ws", header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &page{t, conn}
}

// want reads the next message, which has to be this one.
func (p *page) want(text string) {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, frame, err := p.conn.ReadMessage()
	if err != nil {
		p.t.Fatal(err)
	}
	var got struct{ Text string }
	if err := json.Unmarshal(frame, &got); err != nil || got.Text != text {
		p.t.Fatalf("got %s (%v), want the text %q", frame, err, text)
	}
}

func TestPagesAndShopAreTheSameBeforeAndAfter(t *testing.T) {
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			redis := broker.Redis(t)
			server := start(t, redis)
			phone, laptop, bob := open(t, server, "alice"), open(t, server, "alice"), open(t, server, "bob")
			shop := tutorial.Shop{Redis: redis.Client()}
			for _, n := range []struct{ user, text string }{
				{"alice", "your parcel is on its way"}, {"bob", "you are outbid"}, {"alice", "your parcel is there"},
			} {
				if err := shop.Tell(t.Context(), n.user, n.text); err != nil {
					t.Fatal(err)
				}
			}
			for _, p := range []*page{phone, laptop} {
				p.want("your parcel is on its way")
				p.want("your parcel is there")
			}
			bob.want("you are outbid")
		})
	}
}

func TestWhoIsNotLoggedInIsRefusedBeforeAndAfter(t *testing.T) {
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			server := start(t, broker.Redis(t))
			url := strings.Replace(server.URL, "http", "ws", 1) + "/ws"
			_, answer, err := websocket.DefaultDialer.Dial(url, http.Header{"Origin": {server.URL}})
			if err == nil || answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("got %v (%v), want 401", answer, err)
			}
		})
	}
}

func TestNodesShareTheChannel(t *testing.T) {
	redis := broker.Redis(t)
	phone, laptop := open(t, after(t, redis), "alice"), open(t, after(t, redis), "alice")
	if err := (tutorial.Shop{Redis: redis.Client()}).Tell(t.Context(), "alice", "hello"); err != nil {
		t.Fatal(err)
	}
	phone.want("hello")
	laptop.want("hello")
}

// TestAPageThatAsksForItLosesNothing shows what a page gains by Fanfare's protocol: what is
// published while its connection is lost arrives when it comes back with its cursor.
func TestAPageThatAsksForItLosesNothing(t *testing.T) {
	redis := broker.Redis(t)
	server := after(t, redis)
	shop := tutorial.Shop{Redis: redis.Client()}
	tell := func(text string) {
		if err := shop.Tell(t.Context(), "alice", text); err != nil {
			t.Fatal(err)
		}
	}
	conn := dialV1(t, server, "")
	awaitOp(t, conn, "hello")
	tell("one")
	cursor := awaitOp(t, conn, "message").Cursor
	_ = conn.Close()
	tell("two, while alice was away")
	again := dialV1(t, server, "&resume=notifications:"+cursor)
	if got := awaitOp(t, again, "message"); got.Data.Text != "two, while alice was away" {
		t.Errorf("got %+v", got)
	}
}

func dialV1(t *testing.T, server *httptest.Server, query string) *websocket.Conn {
	dialer := websocket.Dialer{Subprotocols: []string{"fanfare.v1.json"}}
	header := http.Header{"Cookie": {"session=cookie-of-alice"}, "Origin": {server.URL}}
	conn, _, err := dialer.Dial(strings.Replace(server.URL, "http", "ws", 1)+"/ws?systems=notifications"+query, header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// An op is what Fanfare's protocol sends; docs/protocol.md describes it.
type op struct {
	Op, Cursor string
	Data       struct{ Text string }
}

// awaitOp reads until the named op comes.
func awaitOp(t *testing.T, conn *websocket.Conn, name string) op {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(frame)) {
			var o op
			if err := json.Unmarshal([]byte(line), &o); err != nil {
				t.Fatal(err)
			}
			if o.Op == name {
				return o
			}
		}
	}
}
