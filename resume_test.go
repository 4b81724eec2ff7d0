package fanfare_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A counted bus counts how often somebody begins to read its log.
type counted struct {
	*memory.Bus
	reads atomic.Int64
}

func (c *counted) Follow(ctx context.Context, topic string, after domain.Position) (transport.Feed, error) {
	c.reads.Add(1)
	return c.Bus.Follow(ctx, topic, after)
}

func (c *counted) FollowSince(ctx context.Context, topic string, t time.Time) (transport.Feed, error) {
	c.reads.Add(1)
	return c.Bus.FollowSince(ctx, topic, t)
}

// Many sessions come back at once, and the window has everything they missed.
func TestStormOfReconnectsReadsNothingFromTheBus(t *testing.T) {
	const sessions, missed = 100, 10
	log := &counted{Bus: memory.New(memory.Config{})}
	node, url := runNode(t, fanfare.Config{}, fanfare.WithDriver(log))
	first := connect(t, url, "nobody", "")
	start := first.read(t).Systems["orders"].Cursor
	for i := range sessions * missed {
		if _, err := node.Publish(t.Context(), "orders", fanfare.Message{
			To: []string{fmt.Sprint("user:u", i%sessions), "user:nobody"}, Data: json.RawMessage(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	for range sessions * missed {
		first.read(t) // all of it is in the window
	}
	before := log.reads.Load()
	var all sync.WaitGroup
	for i := range sessions {
		all.Go(func() {
			s := connect(t, url, fmt.Sprint("u", i), start)
			if !s.read(t).Systems["orders"].Resumed {
				t.Errorf("u%d did not resume", i)
			}
			for k := range missed {
				if o := s.read(t); o.Op != "message" || string(o.Data) != fmt.Sprint(k*sessions+i) {
					t.Errorf("u%d was told %+v", i, o)
				}
			}
		})
	}
	all.Wait()
	if n := log.reads.Load() - before; n != 0 {
		t.Errorf("the log was read %d times", n)
	}
}

// Two minutes of a system with 10,000 messages a second lie between a cursor and
// the window. A few dozen are for the session that comes back: it gets them all.
func TestSessionThatWasAwayFromABusySystemMissesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("publishes 1.2 million messages")
	}
	const missed, each = 1_200_000, 30_000 // one in so many is for alice
	bus := memory.New(memory.Config{Bytes: 1 << 30})
	node, url := runNode(t, fanfare.Config{Window: fanfare.WindowConfig{Messages: 1000}}, fanfare.WithDriver(bus))
	left := connect(t, url, "alice", "")
	since := left.read(t).Systems["orders"].Cursor
	left.conn.Close()
	last := connect(t, url, "last", "")
	last.read(t)
	var batch []transport.Outgoing
	for i := 1; i <= missed; i++ {
		body := `{"to":"user:somebody","data":0}`
		switch {
		case i == missed:
			body = `{"to":"user:last","data":0}`
		case i%each == 0:
			body = fmt.Sprintf(`{"to":["user:alice","user:bob"],"id":"m%d","data":%d}`, i/each, i/each)
		}
		batch = append(batch, transport.Outgoing{Topic: "fanfare.orders", Message: message.NewMessage("", []byte(body))})
		if len(batch) == 1000 {
			if errs := bus.Publish(t.Context(), batch); errs != nil {
				t.Fatal(errs)
			}
			batch = batch[:0]
		}
	}
	last.read(t) // the node has had everything, and forgotten most of it
	alice := connect(t, url, "alice", since)
	if !alice.read(t).Systems["orders"].Resumed {
		t.Error("alice did not resume")
	}
	for i := 1; i < missed/each; i++ {
		if o := alice.read(t); o.Op != "message" || string(o.Data) != fmt.Sprint(i) {
			t.Fatalf("alice was told %+v, want message %d", o, i)
		}
	}
	if _, err := node.Publish(t.Context(), "orders", fanfare.Message{To: []string{"user:alice"}, Data: json.RawMessage("true")}); err != nil {
		t.Fatal(err)
	}
	if o := alice.read(t); o.Op != "message" || string(o.Data) != "true" {
		t.Errorf("alice was told %+v, want what came last", o)
	}
}

// runNode runs a node in development that serves orders, until the test ends.
func runNode(t *testing.T, cfg fanfare.Config, options ...fanfare.Option) (node *fanfare.Node, url string) {
	t.Helper()
	cfg.Dev, cfg.Systems, cfg.Drain = true, []string{"orders"}, 1
	node, err := fanfare.New(t.Context(), cfg, options...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	server := httptest.NewServer(node)
	t.Cleanup(func() {
		server.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return node, server.URL
}

// A device is a client of fanfare.v1.json.
type device struct {
	conn  *websocket.Conn
	lines []string
}

type told struct {
	Op      string
	Data    json.RawMessage
	Systems map[string]struct {
		Cursor  string
		Resumed bool
	}
}

func connect(t *testing.T, url, user, since string) *device {
	d := websocket.Dialer{Subprotocols: []string{"fanfare.v1.json"}}
	at := "ws" + strings.TrimPrefix(url, "http") + "/ws?systems=orders&user=" + user
	if since != "" {
		at += "&resume=orders:" + since
	}
	conn, _, err := d.Dial(at, nil)
	if err != nil {
		t.Error(err)
		return &device{}
	}
	t.Cleanup(func() { conn.Close() })
	return &device{conn: conn}
}

// read returns the next op.
func (d *device) read(t *testing.T) (o told) {
	for len(d.lines) == 0 {
		if d.conn == nil {
			return o
		}
		// For what hangs: a million messages take a while on a busy machine.
		_ = d.conn.SetReadDeadline(time.Now().Add(time.Minute))
		_, frame, err := d.conn.ReadMessage()
		if err != nil {
			t.Error(err)
			d.conn = nil
			return o
		}
		d.lines = strings.Split(string(frame), "\n")
	}
	if err := json.Unmarshal([]byte(d.lines[0]), &o); err != nil {
		t.Error(err)
	}
	d.lines = d.lines[1:]
	return o
}

// A cursor of a log that has never existed is answered with a gap. However many
// such cursors there are, the node looks for them in the bus's log only once.
func TestForgedCursorsDoNotReadTheLog(t *testing.T) {
	log := &counted{Bus: memory.New(memory.Config{})}
	node, url := runNode(t, fanfare.Config{}, fanfare.WithDriver(log))
	connect(t, url, "nobody", "").read(t) // the system is open
	for i := range 10 {
		if _, err := node.Publish(t.Context(), "orders", fanfare.Message{To: []string{"user:alice"}, Data: json.RawMessage(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	before := log.reads.Load()
	for i := range 50 {
		forged := domain.Cursor{Log: domain.LogID(0xF0 + i), Position: domain.Position(fmt.Sprint("p", i)), Time: time.UnixMilli(int64(i - 25)), ID: 7}
		eve := connect(t, url, fmt.Sprint("eve", i%3), forged.String())
		eve.read(t)
		if o := eve.read(t); o.Op != "gap" {
			t.Fatalf("%d: told %+v, want a gap", i, o)
		}
		eve.conn.Close()
	}
	if n := log.reads.Load() - before; n != 1 {
		t.Errorf("the log was read %d times, want once", n)
	}
}
