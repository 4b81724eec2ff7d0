package sse_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/sse"
)

func TestMain(m *testing.M) {
	if what := os.Getenv("SSE_CLIENTS"); what != "" {
		beOthers(what)
	}
	goleak.VerifyTestMain(m)
}

// A node is a Server on real streams. The test delivers the messages.
type node struct {
	t        testing.TB
	hub      *stream.Hub
	registry *session.Registry
	server   *sse.Server
	url      string
	http     *http.Client
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
	sse      sse.Config
}

// newNode returns a node that is not listening.
func newNode(t testing.TB, cfg config) *node {
	t.Helper()
	n := &node{t: t, streams: make(map[string]*stream.Stream), stopped: make(chan struct{})}
	n.hub = stream.NewHub(n, stream.HubConfig{Systems: []domain.System{system("orders"), system("chat"), system("shop")},
		Stream: stream.Config{HasLog: true}})
	if err := n.hub.Start(); err != nil {
		t.Fatal(err)
	}
	if cfg.registry.Node == "" {
		cfg.registry.Node = "n1"
	}
	var err error
	if n.registry, err = session.New(n.hub, tokens{}, cfg.registry, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if n.server, err = sse.New(n.registry, cfg.sse); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	go func() {
		defer close(n.stopped)
		_ = n.registry.Run(ctx)
	}()
	return n
}

// serve returns a node behind a real listener, stopped when the test ends.
func serve(t testing.TB, cfg config) *node {
	t.Helper()
	n := newNode(t, cfg)
	n.listen(httptest.NewServer(n.server))
	return n
}

func (n *node) listen(listener *httptest.Server) {
	n.url, n.http = listener.URL, listener.Client()
	n.t.Cleanup(func() {
		n.stop()
		<-n.stopped
		listener.Close()
		n.http.CloseIdleConnections()
	})
}

// deliver delivers a JSON message, as if it came from the bus.
func (n *node) deliver(to, sys, data string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seq++
	n.streams[sys].Step(&domain.Entry{Position: pos(n.seq), Time: time.Now(), Read: time.Now().Add(-readAgo)}, &domain.Message{
		ID: fmt.Sprintf("m%d", n.seq), To: targets(to), Data: []byte(data), ContentType: domain.JSON})
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

// tokens accepts "alice", and "alice/ttl=1s" as alice for a second.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, token string) (domain.Grant, error) {
	user, what, _ := strings.Cut(token, "/")
	g := domain.Grant{User: user, Systems: []string{"*"}, Rooms: []string{"chat/*"}, Presence: []string{"chat/*"}}
	switch name, arg, _ := strings.Cut(what, "="); name {
	case "":
	case "ttl":
		d, err := time.ParseDuration(arg)
		if err != nil {
			return domain.Grant{}, err
		}
		g.Expires = time.Now().Add(d)
	case "everywhere":
		for slashes := range domain.MaxName + 1 {
			g.Rooms = append(g.Rooms, "*/*"+strings.Repeat("/*", slashes))
		}
	case "orders":
		g.Systems = []string{"orders"}
	default:
		return domain.Grant{}, fmt.Errorf("tokens: %w", domain.ErrUnauthenticated)
	}
	return g, nil
}

// A source reads events as the HTML standard demands of an EventSource.
type source struct {
	t      testing.TB
	resp   *http.Response
	lines  *bufio.Reader
	cancel context.CancelFunc

	id    string // the last event ID string
	retry int
	heard int // comments
	ids   int // lines that set the id
}

// open connects, with the token in a header.
func (n *node) open(token, query string, header http.Header) *source {
	n.t.Helper()
	s := n.try(token, query, header)
	if s.resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(s.resp.Body)
		n.t.Fatalf("%s %s", s.resp.Status, body)
	}
	return s
}

func (n *node) try(token, query string, header http.Header) *source {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/sse?"+query, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	if header != nil {
		r.Header = header.Clone()
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := n.http.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	s := &source{t: n.t, resp: resp, lines: bufio.NewReader(resp.Body), cancel: cancel, id: r.Header.Get("Last-Event-ID")}
	n.t.Cleanup(s.close)
	return s
}

func (s *source) close() {
	s.cancel()
	_ = s.resp.Body.Close()
}

// hello connects and reads the first event.
func (n *node) hello(token, query string) *source {
	n.t.Helper()
	s := n.open(token, query, nil)
	s.wants(`{"op":"hello"`)
	return s
}

// again connects anew, as an EventSource does when its connection is lost.
func (n *node) again(s *source, token, query string) *source {
	n.t.Helper()
	s.close()
	return n.open(token, query, http.Header{"Last-Event-Id": {s.id}})
}

const patience = 10 * time.Second

// next returns the next event's data, or the error that ended the stream.
func (s *source) next() (data string, err error) {
	over := time.AfterFunc(patience, s.cancel)
	defer over.Stop()
	return s.read()
}

// read is next without a time limit of its own.
func (s *source) read() (data string, err error) {
	some, id := false, s.id
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return "", err // an event that is not complete is not dispatched
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "data":
			data, some = data+value+"\n", true
		case "id":
			id = value
			s.ids++
		case "retry":
			s.retry, _ = strconv.Atoi(value)
		case "":
			if line != "\n" {
				s.heard++
				continue
			}
			s.id = id
			if some {
				return strings.TrimSuffix(data, "\n"), nil
			}
		default:
			return "", fmt.Errorf("odd line %q", line)
		}
	}
}

// wants reads one event, which must be JSON and start with prefix.
func (s *source) wants(prefix string) string {
	s.t.Helper()
	data, err := s.next()
	if err != nil {
		s.t.Fatalf("want %s…, got error %v", prefix, err)
	}
	if !strings.HasPrefix(data, prefix) || !json.Valid([]byte(data)) {
		s.t.Fatalf("want %s…, got %s", prefix, data)
	}
	return data
}

// wantsData reads one message and checks its data.
func (s *source) wantsData(data string) {
	s.t.Helper()
	var m struct{ Data json.RawMessage }
	event := s.wants(`{"op":"message"`)
	if err := json.Unmarshal([]byte(event), &m); err != nil || string(m.Data) != data {
		s.t.Fatalf("want data %s, got %s", data, event)
	}
}

// wantsEnd checks that the stream ends here, without an error.
func (s *source) wantsEnd() {
	s.t.Helper()
	if data, err := s.next(); !errors.Is(err, io.EOF) {
		s.t.Fatalf("want the end, got %s %v", data, err)
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
		<-time.After(time.Millisecond)
	}
}
