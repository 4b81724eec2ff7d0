package ws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

func TestMain(m *testing.M) {
	if what := os.Getenv("WS_CLIENTS"); what != "" {
		beOthers(what)
	}
	if what := os.Getenv("WS_STORM"); what != "" {
		beStormers(what)
	}
	goleak.VerifyTestMain(m)
}

// A node is a Server on real streams. The test delivers the messages.
type node struct {
	t        testing.TB
	hub      *stream.Hub
	registry *session.Registry
	server   *ws.Server
	url      string // ws://…
	bus      *bus
	mu       sync.Mutex
	streams  map[string]*stream.Stream // guarded by mu
	seq      int                       // guarded by mu
	stop     context.CancelFunc
	stopped  chan struct{}
}

const log = domain.LogID(7)

// Open is part of stream.Source. The bus confirms the subscription at once.
func (n *node) Open(s *stream.Stream) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.streams[s.System().String()] = s
	s.Step(&domain.Entry{Kind: domain.Start, Log: log, Position: pos(0)}, nil)
	return nil
}

func (n *node) Close(*stream.Stream) {}

// readAgo is how long ago the node has read what a test delivers.
const readAgo = 100 * time.Millisecond

func pos(n int) domain.Position { return domain.Position(fmt.Sprintf("%012d", n)) }

// A config says how a node differs from the usual one.
type config struct {
	registry session.Config
	ws       ws.Config
	window   *stream.Budget
}

// newNode returns a node that is not listening.
func newNode(t testing.TB, cfg config) *node {
	t.Helper()
	n := &node{t: t, streams: make(map[string]*stream.Stream), bus: &bus{}, stopped: make(chan struct{})}
	n.hub = stream.NewHub(n, stream.HubConfig{Systems: []domain.System{system("orders"), system("chat"), system("shop")},
		Stream: stream.Config{HasLog: true, Budget: cfg.window}})
	if err := n.hub.Start(); err != nil {
		t.Fatal(err)
	}
	if cfg.registry.Node == "" {
		cfg.registry.Node = "n1"
	}
	var err error
	silent := slog.New(slog.DiscardHandler)
	if n.registry, err = session.New(n.hub, tokens{}, cfg.registry, silent); err != nil {
		t.Fatal(err)
	}
	if n.server, err = ws.New(n.registry, n.bus, cfg.ws, silent); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	var running sync.WaitGroup
	running.Go(func() { _ = n.registry.Run(ctx) })
	running.Go(func() { _ = n.server.Run(ctx) })
	go func() {
		defer close(n.stopped)
		running.Wait()
	}()
	return n
}

// serve returns a node behind a real listener, stopped when the test ends.
func serve(t testing.TB, cfg config) *node {
	t.Helper()
	n := newNode(t, cfg)
	listener := httptest.NewServer(n.server)
	n.url = "ws" + strings.TrimPrefix(listener.URL, "http")
	t.Cleanup(func() {
		n.stop()
		<-n.stopped
		listener.Close()
	})
	return n
}

// deliver delivers a JSON message, as if it came from the bus.
func (n *node) deliver(to, sys, data string) {
	n.deliverMessage(sys, &domain.Message{To: targets(to), Data: []byte(data), ContentType: domain.JSON})
}

func (n *node) deliverMessage(sys string, m *domain.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seq++
	if m.ID == "" {
		m.ID = fmt.Sprintf("m%d", n.seq)
	}
	n.streams[sys].Step(&domain.Entry{Position: pos(n.seq), Time: time.Now(), Read: time.Now().Add(-readAgo)}, m)
}

func (n *node) stats(sys string) stream.Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.streams[sys].Stats()
}

func system(name string) domain.System {
	s, err := domain.ParseSystem(name)
	if err != nil {
		panic(err)
	}
	return s
}

func targets(names ...string) (all []domain.Target) {
	for _, name := range names {
		t, err := domain.ParseTarget(name)
		if err != nil {
			panic(err)
		}
		all = append(all, t)
	}
	return all
}

// tokens accepts "alice", and "alice/name" as alice with the grant that name stands for.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, token string) (domain.Grant, error) {
	user, what, _ := strings.Cut(token, "/")
	g := domain.Grant{User: user, Systems: []string{"*"}, Rooms: []string{"chat/*"}, Send: []string{"chat/room:*", "*/inbound"},
		Presence: []string{"chat/*", "orders/*"}}
	switch name, arg, _ := strings.Cut(what, "="); name {
	case "":
	case "ttl":
		d, err := time.ParseDuration(arg)
		if err != nil {
			return domain.Grant{}, err
		}
		g.Expires = time.Now().Add(d)
	case "orders":
		g.Systems = []string{"orders"}
	case "lobby":
		g.Rooms = []string{"chat/lobby"}
	case "none":
		g.Rooms = nil
	case "blind":
		g.Presence = nil
	case "mute":
		g.Send = []string{"chat/*", "*/*", "orders/all", "shop/inbound"}
	case "everywhere":
		for slashes := range domain.MaxName + 1 {
			g.Rooms = append(g.Rooms, "*/*"+strings.Repeat("/*", slashes))
		}
	case "nothing":
		g.Systems = nil
	case "late":
		return domain.Grant{}, errors.New("tokens: the service that checks them is down")
	default:
		return domain.Grant{}, fmt.Errorf("tokens: %w", domain.ErrUnauthenticated)
	}
	return g, nil
}

// A bus takes what sessions publish.
type bus struct {
	mu        sync.Mutex
	err       error
	published []string
}

func (b *bus) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *bus) Publish(_ context.Context, s domain.System, msgs ...*domain.Message) (at domain.Cursor, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return at, &domain.PublishError{Err: b.err}
	}
	for _, m := range msgs {
		b.published = append(b.published, fmt.Sprintf("%s to=%v from=%s type=%s %s %s", s, m.To, m.From, m.Type, m.ContentType, m.Data))
	}
	return at, nil
}

func (b *bus) Inbound(_ context.Context, s domain.System, m *domain.Message, from string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return &domain.PublishError{Err: b.err}
	}
	if from == "" || m.ID == "" || m.Time.IsZero() || len(m.To) > 0 {
		return errors.New("bus: inbound without session, id or time, or with targets")
	}
	b.published = append(b.published, fmt.Sprintf("%s inbound from=%s type=%s %s %s", s, m.From, m.Type, m.ContentType, m.Data))
	return nil
}

func (b *bus) took() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.published...)
}

// A client is a WebSocket client.
type client struct {
	t     testing.TB
	conn  *websocket.Conn
	lines [][]byte // of the last frame, not read yet
}

// dial connects with the token in a header and the subprotocol V1, unless header says
// otherwise.
func (n *node) dial(token, query string, header http.Header) *client {
	n.t.Helper()
	c, resp, err := n.try(token, query, header)
	if err != nil {
		body := ""
		if resp != nil {
			b, _ := io.ReadAll(resp.Body)
			body = resp.Status + " " + string(b)
		}
		n.t.Fatalf("dial: %v %s", err, body)
	}
	return c
}

func (n *node) try(token, query string, header http.Header) (*client, *http.Response, error) {
	if header == nil {
		header = http.Header{"Sec-Websocket-Protocol": {ws.V1}}
	}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	conn, resp, err := websocket.DefaultDialer.Dial(n.url+"/ws?"+query, header)
	if err != nil {
		return nil, resp, err
	}
	c := &client{t: n.t, conn: conn}
	n.t.Cleanup(func() { _ = conn.Close() })
	return c, resp, nil
}

func bodyOf(answer *http.Response) string {
	body, _ := io.ReadAll(answer.Body)
	return string(body)
}

func (n *node) v1(user, query string) *client {
	n.t.Helper()
	c := n.dial(user, query, nil)
	c.wants(`{"op":"hello"`)
	return c
}

// plain connects a plain client. It gets no notices, and misses nothing that is
// delivered from now on.
func (n *node) plain(user, query string) *client {
	n.t.Helper()
	return n.dial(user, query, http.Header{})
}

const patience = 10 * time.Second

// next returns the next op.
func (c *client) next() (string, error) {
	if len(c.lines) == 0 {
		_ = c.conn.SetReadDeadline(time.Now().Add(patience))
		_, frame, err := c.conn.ReadMessage()
		if err != nil {
			return "", err
		}
		c.lines = bytes.Split(frame, []byte("\n"))
	}
	line := c.lines[0]
	c.lines = c.lines[1:]
	return string(line), nil
}

// wants reads one op, which must be JSON and start with prefix.
func (c *client) wants(prefix string) string {
	c.t.Helper()
	line, err := c.next()
	if err != nil {
		c.t.Fatalf("want %s…, got error %v", prefix, err)
	}
	if !strings.HasPrefix(line, prefix) || !json.Valid([]byte(line)) {
		c.t.Fatalf("want %s…, got %s", prefix, line)
	}
	return line
}

// wantsData reads one message and checks its data.
func (c *client) wantsData(data string) {
	c.t.Helper()
	var m struct{ Data json.RawMessage }
	line := c.wants(`{"op":"message"`)
	if err := json.Unmarshal([]byte(line), &m); err != nil || string(m.Data) != data {
		c.t.Fatalf("want data %s, got %s", data, line)
	}
}

func (c *client) says(op string) {
	c.t.Helper()
	if err := c.conn.WriteMessage(websocket.TextMessage, []byte(op)); err != nil {
		c.t.Fatal(err)
	}
}

// wantsClose reads until the close frame, which must have the code.
func (c *client) wantsClose(code int) {
	c.t.Helper()
	for {
		if _, err := c.next(); err != nil {
			var closed *websocket.CloseError
			if !errors.As(err, &closed) || closed.Code != code {
				c.t.Fatalf("want close %d, got %v", code, err)
			}
			return
		}
	}
}

// poll waits until a condition is true.
func poll(t testing.TB, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(6 * patience)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to pass")
		}
		pause()
	}
}

// pause waits for a moment.
func pause() { <-time.After(time.Millisecond) }
