package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A script is a node that plays one scene for each connection, the last one
// again and again.
type script struct {
	mu      sync.Mutex
	queries []url.Values
	headers []http.Header
	scenes  []func(http.ResponseWriter, *http.Request)
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	scene := s.scenes[min(len(s.queries), len(s.scenes)-1)]
	s.queries, s.headers = append(s.queries, r.URL.Query()), append(s.headers, r.Header)
	s.mu.Unlock()
	scene(w, r)
}

// says is a scene: a session in which the node sends frames and closes.
func says(code int, frames ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{Subprotocols: []string{"fanfare.v1.json"}}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for _, f := range frames {
			_ = conn.WriteMessage(websocket.TextMessage, []byte(f))
		}
		if code > 0 {
			_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "because"), time.Now().Add(time.Second))
		}
		_, _, _ = conn.ReadMessage() // until the client goes
	}
}

func refuses(status int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"status":%d,"detail":"no","errors":[{"location":"systems[0]","message":"bad"}]}`, status)
	}
}

// hear runs a listener against the scenes until it ends by itself or has
// heard count messages.
func hear(t *testing.T, count int, scenes ...func(http.ResponseWriter, *http.Request)) (*script, []string, error) {
	t.Helper()
	node := &script{scenes: scenes}
	server := httptest.NewServer(node)
	defer server.Close()
	var ops []string
	messages := 0
	l := client.Listener{
		Node: server.URL, Token: "t", User: "alice", Systems: []string{"orders", "chat"}, Rooms: []string{"chat/lobby"},
		Note: func(string) {},
		Op: func(raw []byte, op client.Op) error {
			ops = append(ops, op.Op+" "+op.System)
			if op.Op == "message" {
				if messages++; messages == count {
					return client.ErrEnough
				}
			}
			return nil
		},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := l.Run(ctx)
	if ctx.Err() != nil {
		t.Fatal("it does not end")
	}
	return node, ops, err
}

const (
	hello   = `{"op":"hello","session":"s","systems":{"orders":{"cursor":"o0"},"chat":{"cursor":null}}}`
	message = `{"op":"message","system":"orders","id":"1","cursor":"o1","data":1}`
)

func TestComesBackWithTheCursorsOfWhatItHasSeen(t *testing.T) {
	node, ops, err := hear(t, 3,
		says(1001, hello, message+"\n"+`{"op":"cursor","system":"chat","cursor":"c1"}`, `{"op":"goaway","retry_ms":5}`),
		says(0, hello, message+"\n"+message),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"hello ", "message orders", "cursor chat", "goaway ", "hello ", "message orders", "message orders"}
	if diff := cmp.Diff(want, ops); diff != "" {
		t.Error(diff)
	}
	if q := node.queries[0]; q.Get("systems") != "orders,chat" || q.Get("user") != "alice" || q.Has("resume") {
		t.Errorf("at first it asked for %v", q)
	}
	if diff := cmp.Diff([]string{"chat:c1", "orders:o1"}, node.queries[1]["resume"]); diff != "" {
		t.Error(diff)
	}
	if node.headers[1].Get("Authorization") != "Bearer t" {
		t.Errorf("it came back with %v", node.headers[1])
	}
}

func TestComesBackAfterTroubleThatPasses(t *testing.T) {
	for name, trouble := range map[string]func(http.ResponseWriter, *http.Request){
		"busy":        refuses(503),
		"too many":    refuses(429),
		"slow client": says(4008, hello),
		"no goodbye":  func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, ops, err := hear(t, 1, trouble, says(0, hello, message)); err != nil || ops[len(ops)-1] != "message orders" {
				t.Errorf("heard %v, then %v", ops, err)
			}
		})
	}
}

func TestDoesNotComeBackWhereItIsNotWanted(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 422} {
		node, _, err := hear(t, 1, refuses(status))
		var r *client.Refusal
		if !errors.As(err, &r) || r.Status != status || r.Detail != "no" || len(r.Errors) != 1 || len(node.queries) != 1 {
			t.Errorf("%d: got %v after %d tries; want a refusal after one", status, err, len(node.queries))
		}
	}
	for _, code := range []int{1008, 4001, 4003, 4009, 4010} {
		node, _, err := hear(t, 1, says(code, hello))
		if !websocket.IsCloseError(err, code) || len(node.queries) != 1 {
			t.Errorf("%d: got %v after %d tries; want that code after one", code, err, len(node.queries))
		}
	}
}

func TestWhatIsNoOpEndsIt(t *testing.T) {
	if _, _, err := hear(t, 1, says(0, hello+"\n{")); err == nil {
		t.Error("it went on")
	}
}

func TestEndsWithItsContext(t *testing.T) {
	for name, scene := range map[string]func(http.ResponseWriter, *http.Request){
		"in a session":  says(0, hello),
		"between tries": refuses(503),
	} {
		server := httptest.NewServer(&script{scenes: []func(http.ResponseWriter, *http.Request){scene}})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		l := client.Listener{
			Node: server.URL, Systems: []string{"orders"},
			Note: func(string) { cancel() },
			Op:   func([]byte, client.Op) error { cancel(); return nil },
		}
		if err := l.Run(ctx); err != nil || !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("%s: ended with %v, %v", name, err, ctx.Err())
		}
		server.Close()
	}
}

func TestNodeURLMustBeOne(t *testing.T) {
	for _, bad := range []string{"", "localhost:8080", "redis://h", "http://", "http://%zz", "://"} {
		if err := (&client.Listener{Node: bad}).Run(t.Context()); err == nil {
			t.Errorf("%q: accepted", bad)
		}
		if _, err := (client.Publisher{Node: bad}).Publish(t.Context(), "orders", nil); err == nil {
			t.Errorf("%q: published", bad)
		}
	}
}
