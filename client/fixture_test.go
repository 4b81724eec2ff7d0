package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline bounds every wait. It is not a claim about speed.
const deadline = 20 * time.Second

// A node is played by the test: it hands each request over to the test.
type node struct {
	t      testing.TB
	url    string
	visits chan *visit
	gone   chan struct{}
}

func newNode(t testing.TB) *node {
	n := &node{t: t, visits: make(chan *visit), gone: make(chan struct{})}
	server := httptest.NewServer(n)
	n.url = server.URL
	t.Cleanup(func() { close(n.gone); server.Close() })
	return n
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := &visit{t: n.t, Request: r, w: w, done: make(chan struct{})}
	select {
	case n.visits <- v:
	case <-n.gone:
		return
	}
	select {
	case <-v.done:
	case <-n.gone:
	}
	if v.conn != nil {
		v.conn.Close()
	}
}

// visit waits for a client.
func (n *node) visit() *visit { return receive(n.t, n.visits, "a client") }

// hello waits for a client, accepts the connection and says hello.
func (n *node) hello() *visit {
	v := n.visit()
	v.accept()
	v.says(hello)
	return v
}

// A visit is a request for a connection, and the connection if it was accepted.
type visit struct {
	t testing.TB
	*http.Request
	w    http.ResponseWriter
	conn *websocket.Conn
	done chan struct{}
}

func (v *visit) accept() {
	v.t.Helper()
	upgrader := websocket.Upgrader{Subprotocols: []string{"fanfare.v1.json"}}
	conn, err := upgrader.Upgrade(v.w, v.Request, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(deadline))
	v.conn = conn
}

func (v *visit) refuse(status int, retryAfter string) {
	v.w.Header().Set("Retry-After", retryAfter)
	v.w.Header().Set("Content-Type", "application/problem+json")
	v.w.WriteHeader(status)
	fmt.Fprintf(v.w, `{"status":%d,"detail":"no","errors":[{"location":"systems[0]","message":"bad"}]}`, status)
	close(v.done)
}

func (v *visit) says(ops ...string) {
	v.t.Helper()
	if err := v.conn.WriteMessage(websocket.TextMessage, []byte(strings.Join(ops, "\n"))); err != nil {
		v.t.Fatal(err)
	}
}

// hears returns the next op, or how the connection ended.
func (v *visit) hears() string {
	_, text, err := v.conn.ReadMessage()
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (v *visit) wants(op string) {
	v.t.Helper()
	if got := v.hears(); got != op {
		v.t.Fatalf("the node heard %s; want %s", got, op)
	}
}

// closes ends the session; with code 0 there is no close frame.
func (v *visit) closes(code int) {
	if code != 0 {
		_ = v.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "because"), time.Now().Add(deadline))
	}
	close(v.done)
}

// A user is a client that runs, and whose Handler hands what it gets to the test.
type user struct {
	t testing.TB
	*client.Client
	told  chan string
	stop  context.CancelFunc
	ended chan error
}

// connect runs a client that is attached to orders and chat. Its Handler waits until
// the test has taken what it got.
func (n *node) connect(change ...func(*client.Config)) *user {
	n.t.Helper()
	u := &user{t: n.t, told: make(chan string), ended: make(chan error, 1)}
	tell := func(ctx context.Context, format string, args ...any) error {
		select {
		case u.told <- fmt.Sprintf(format, args...):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	cfg := client.Config{
		URL: n.url + "?user=alice", Systems: []string{"orders", "chat"}, FirstPause: time.Nanosecond, MaxPause: time.Nanosecond,
		Handler: client.Handler{
			Message: func(ctx context.Context, m *client.Message) error { return tell(ctx, "message %s %s", m.ID, m.Data) },
			Gap: func(ctx context.Context, g *client.Gap) error {
				return tell(ctx, "gap %s %s %v", g.System, g.Reason, g.After)
			},
			Bus: func(ctx context.Context, up bool) error { return tell(ctx, "bus %v", up) },
			Left: func(ctx context.Context, l *client.Left) error {
				return tell(ctx, "left %s/%s %s", l.System, l.Room, l.Reason)
			},
			Joined: func(ctx context.Context, j *client.Joined) error {
				return tell(ctx, "joined %s/%s by %s", j.System, j.Room, j.By)
			},
			Presence: func(ctx context.Context, p *client.Presence) error {
				return tell(ctx, "presence %s/%s %d %q +%q -%q %s", p.System, p.Room, p.Count, p.Users, p.Joined, p.Left, p.Reason)
			},
		},
	}
	for _, set := range change {
		set(&cfg)
	}
	c, err := client.New(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	u.Client = c
	u.run()
	n.t.Cleanup(func() { u.stop() })
	return u
}

func (u *user) run() {
	ctx, stop := context.WithCancel(context.Background())
	u.stop = stop
	go func() { u.ended <- u.Run(ctx) }()
}

func (u *user) hears(want ...string) {
	u.t.Helper()
	for _, text := range want {
		if got := receive(u.t, u.told, text); got != text {
			u.t.Fatalf("the handler was told %q; want %q", got, text)
		}
	}
}

// end waits until Run returns.
func (u *user) end() error {
	u.t.Helper()
	return receive(u.t, u.ended, "the end of Run")
}

// leaves stops the client; Run then returns nil.
func (u *user) leaves() {
	u.t.Helper()
	u.stop()
	if err := u.end(); err != nil {
		u.t.Errorf("Run returned %v", err)
	}
}

// at waits until the cursors are the wanted ones.
func (u *user) at(want map[string]string) {
	u.t.Helper()
	poll(u.t, func() bool { return fmt.Sprint(u.Cursors()) == fmt.Sprint(want) }, func() string { return fmt.Sprint(u.Cursors()) })
}

func receive[T any](t testing.TB, from <-chan T, what string) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(deadline):
		t.Fatalf("waited in vain for %s", what)
	}
	return got
}

func poll(t testing.TB, ok func() bool, now func() string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(deadline); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain; now it is %s", now())
		}
	}
}

const hello = `{"op":"hello","session":"s","node":"n","user":"alice","systems":{"orders":{"cursor":"o0"},"chat":{"cursor":null}}}`

func message(system, id, cursor string) string {
	return fmt.Sprintf(`{"op":"message","system":%q,"id":%q,"cursor":%q,"to":"*","data":{"n":1}}`, system, id, cursor)
}
