package fanfare_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A recorder is a bus that knows which topics were used.
type recorder struct {
	transport.Driver
	transport.LogDriver
	mu     sync.Mutex
	topics []string
}

func record(bus *memory.Bus) *recorder {
	return &recorder{Driver: bus.Driver(), LogDriver: bus.Driver().(transport.LogDriver)}
}

func (r *recorder) note(topic string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.topics, topic) {
		r.topics = append(r.topics, topic)
	}
}

func (r *recorder) used() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.topics))
}

func (r *recorder) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	r.note(topic)
	return r.Driver.Follow(ctx, topic, after)
}

func (r *recorder) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	r.note(topic)
	return r.LogDriver.FollowSince(ctx, topic, t)
}

func (r *recorder) Publish(ctx context.Context, records []transport.Outgoing) []error {
	for _, o := range records {
		r.note(o.Topic)
	}
	return r.Driver.Publish(ctx, records)
}

func TestANodeWithoutAControlPlaneDoesNotUseItsTopic(t *testing.T) {
	for disabled, want := range map[bool][]string{
		true:  {"fanfare.orders"},
		false: {"fanfare._control", "fanfare.orders"},
	} {
		synctest.Test(t, func(t *testing.T) {
			bus := memory.New(memory.Config{})
			defer bus.Close()
			used := record(bus)
			cfg := fanfare.Config{Dev: true, Systems: []string{"orders"}, Drain: 1}
			cfg.Control.Disabled = disabled
			n := startNode(t, cfg, fanfare.WithDriver(used))
			defer n.listen("orders")()
			time.Sleep(time.Minute)
			if got := used.used(); !slices.Equal(got, want) {
				t.Errorf("disabled %v: it used %v, want %v", disabled, got, want)
			}
			if status, phase, _ := n.ready(""); status != 200 {
				t.Errorf("disabled %v: %d %s", disabled, status, phase)
			}
			_, err := n.g.Disconnect(t.Context(), "alice", fanfare.Disconnecting{})
			_, err2 := n.g.Nodes()
			_, err3 := n.g.Presence("orders", "", fanfare.Part{})
			for _, err := range []error{err, err2, err3} {
				if errors.Is(err, fanfare.ErrUnsupported) != disabled || !disabled && err != nil {
					t.Errorf("disabled %v: %v", disabled, err)
				}
			}
			if w := n.get("/v1/nodes"); (w.Code == http.StatusNotImplemented) != disabled {
				t.Errorf("disabled %v: GET /v1/nodes: %d %s", disabled, w.Code, w.Body)
			}
		})
	}
}

// A journal is what nodes have logged.
type journal struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

// String returns what was logged so far.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) has(words string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.text.String(), words)
}

func TestTheCommandsOfANode(t *testing.T) {
	bus := memory.New(memory.Config{})
	defer bus.Close()
	var logged journal
	start := func(name string) runningNode {
		cfg := fanfare.Config{Dev: true, Node: name, Drain: 1}
		cfg.Control.Heartbeat, cfg.Presence.Grace = 500*time.Millisecond, 100*time.Millisecond
		log := slog.New(slog.NewTextHandler(&logged, nil))
		return startNode(t, cfg, fanfare.WithDriver(bus.Driver()), fanfare.WithLogger(log))
	}
	one, two := start("one"), start("two")
	awaitNodes(one.g, 2)
	awaitNodes(two.g, 2)
	server := httptest.NewServer(two.g)
	defer server.Close()
	connect := func() *websocket.Conn {
		t.Helper()
		c, _, err := websocket.DefaultDialer.Dial(
			strings.Replace(server.URL, "http", "ws", 1)+"/ws?systems=chat&user=alice", nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	closed := func(c *websocket.Conn, code int) {
		t.Helper()
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, code) {
			t.Errorf("got %v, want to be closed with %d", err, code)
		}
	}
	present := func(room string, want int) {
		t.Helper()
		there, err := one.g.Presence("chat", room, fanfare.Part{Limit: 1})
		for began := time.Now(); err == nil && there.Count != want && time.Since(began) < 5*time.Second; {
			<-time.After(10 * time.Millisecond)
			there, err = one.g.Presence("chat", room, fanfare.Part{Limit: 1})
		}
		if err != nil || there.Count != want || len(there.Users) != want || !there.Complete {
			t.Errorf("in room %q: %+v %v", room, there, err)
		}
	}
	lasting := fanfare.Lasting{TTL: time.Hour, Wait: 5 * time.Second}
	done := func(o fanfare.Outcome, err error) {
		t.Helper()
		if err != nil || !slices.Equal(o.Applied, []string{"one", "two"}) || len(o.Pending) > 0 || o.ID == "" {
			t.Errorf("%+v %v", o, err)
		}
	}

	alice := connect()
	present("", 1)
	done(one.g.AddMember(t.Context(), "chat", "lobby", "alice", lasting))
	present("lobby", 1)
	done(one.g.RemoveMember(t.Context(), "chat", "lobby", "alice", lasting))
	present("lobby", 0)
	block, err := one.g.Block(t.Context(), "alice", "spam", lasting)
	done(block, err)
	closed(alice, 4003)
	for _, line := range []string{
		`msg="a command was given" command=` + block.ID + ` kind=block name=alice undone=false by="this program"`,
		`msg="a command has closed sessions of this node" command=` + block.ID + ` kind=block name=alice sessions=1`,
	} {
		if !logged.has(line) {
			t.Errorf("not logged: %s", line)
		}
	}
	present("", 0)
	if _, r, err := websocket.DefaultDialer.Dial(
		strings.Replace(server.URL, "http", "ws", 1)+"/ws?systems=chat&user=alice", nil); err == nil || r.StatusCode != 403 {
		t.Errorf("a blocked user: %v %v", r, err)
	}
	done(one.g.Unblock(t.Context(), "alice", lasting))
	alice = connect()
	present("", 1)
	done(one.g.Disconnect(t.Context(), "alice", fanfare.Disconnecting{Code: 4100, Final: true, Wait: time.Second}))
	closed(alice, 4100)
	alice = connect()
	<-time.After(2 * time.Millisecond) // revocations count in milliseconds
	done(one.g.RevokeUser(t.Context(), "alice", time.Now(), lasting))
	closed(alice, 4001)
	<-time.After(2 * time.Millisecond)
	connect().Close() // in development nobody has a token that could be too old
	done(one.g.RevokeToken(t.Context(), "jti", lasting))
	done(one.g.DisconnectSession(t.Context(), "no-such-session", fanfare.Disconnecting{Wait: time.Second}))
	if o, err := one.g.Block(t.Context(), "bob", "", fanfare.Lasting{}); err != nil || o.ID == "" || o.Applied != nil {
		t.Errorf("without a wait: %+v %v", o, err)
	}
	if _, err := one.g.Disconnect(t.Context(), "alice", fanfare.Disconnecting{Code: 1000}); !errors.Is(err, fanfare.ErrInvalid) {
		t.Errorf("a close code that is not the application's: %v", err)
	}
	if _, err := one.g.Presence("Chat!", "", fanfare.Part{}); !errors.Is(err, fanfare.ErrInvalid) {
		t.Errorf("a system that cannot be: %v", err)
	}
}

// Nodes understand each other while the bus is moved, whichever of the buses they have.
func TestTheControlPlaneWhileTheBusIsMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, next := memory.New(memory.Config{}), memory.New(memory.Config{})
		defer old.Close()
		defer next.Close()
		open := func(bus *memory.Bus) transport.Opener {
			return func(context.Context, *url.URL, *slog.Logger) (transport.Driver, error) { return bus.Driver(), nil }
		}
		openers := fanfare.WithOpeners(transport.Openers{"old": open(old), "new": open(next)})
		start := func(name, urls string) runningNode {
			return startNode(t, fanfare.Config{Dev: true, Node: name, Systems: []string{"chat"}, Drain: 1, Transport: urls}, openers)
		}
		before, both1 := start("before", "old://bus"), start("both1", "old://bus new://bus")
		both2, after := start("both2", "old://bus new://bus"), start("after", "new://bus")
		time.Sleep(10 * time.Second)
		for _, tt := range []struct {
			n    runningNode
			want string
		}{
			{before, "before both1 both2"}, {both1, "after before both1 both2"},
			{both2, "after before both1 both2"}, {after, "after both1 both2"},
		} {
			if status, _, _ := tt.n.ready(""); status != 200 {
				t.Errorf("not ready: %d", status)
			}
			infos, err := tt.n.g.Nodes()
			var names []string
			for _, i := range infos {
				names = append(names, i.Name)
				if !i.InStep {
					t.Errorf("%s is not in step", i.Name)
				}
			}
			if got := strings.Join(names, " "); err != nil || got != tt.want {
				t.Errorf("nodes: %s, %v; want %s", got, err, tt.want)
			}
		}
		o, err := both1.g.Block(t.Context(), "eve", "", fanfare.Lasting{Wait: 5 * time.Second})
		if err != nil || !slices.Equal(o.Applied, []string{"after", "before", "both1", "both2"}) {
			t.Errorf("%+v %v", o, err)
		}
		for _, n := range []runningNode{before, after} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/sse?user=eve&systems=chat", nil)
			r.RemoteAddr = "127.0.0.1:1"
			if n.g.ServeHTTP(w, r); w.Code != http.StatusForbidden && !strings.Contains(w.Body.String(), "4003") {
				t.Errorf("eve is let in: %d %s", w.Code, w.Body)
			}
		}
	})
}
