package tracing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/gorilla/websocket"
	"github.com/twmb/franz-go/pkg/kfake"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/tracing"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/publisher"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/broker/embedded"
)

// patience bounds everything that a test waits for. Only a test that fails takes so long.
const patience = time.Minute

func TestTracesGoThroughAllBuses(t *testing.T) {
	byURL := func(url func(t *testing.T) string) func(t *testing.T) bus {
		return func(t *testing.T) bus {
			return bus{url: url(t)}
		}
	}
	for name, open := range map[string]func(t *testing.T) bus{
		"redis":         byURL(func(t *testing.T) string { return broker.Redis(t).URL("redis") }),
		"redis-streams": byURL(func(t *testing.T) string { return broker.Redis(t).URL("redis-streams") }),
		"nats":          byURL(func(t *testing.T) string { return "nats://" + embedded.NATS(t) }),
		"jetstream":     byURL(func(t *testing.T) string { return "jetstream://" + embedded.NATS(t) }),
		"kafka": byURL(func(t *testing.T) string {
			c, err := kfake.NewCluster(kfake.NumBrokers(1))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			return "kafka://" + c.ListenAddrs()[0]
		}),
		"memory": func(t *testing.T) bus {
			return bus{driver: memory.New(memory.Config{}).Driver}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			traced(t, open(t))
		})
	}
}

// A bus has a URL, or else it is in this process.
type bus struct {
	url    string
	driver func() transport.Driver
}

// with returns the options with which something is made on the bus.
func (b bus) with(o fanfare.Option) []fanfare.Option {
	if b.driver == nil {
		return []fanfare.Option{o}
	}
	return []fanfare.Option{o, fanfare.WithDriver(b.driver())}
}

// open opens the bus as a program does that knows nothing of nodes.
func (b bus) open(t *testing.T) *transport.Transport {
	t.Helper()
	cfg := transport.Config{PublishTimeout: patience / 2}
	if b.driver != nil {
		return transport.New(b.driver(), cfg)
	}
	opened, err := fanfare.Openers().Open(t.Context(), b.url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// nodeNames are those of the nodes that run in a test.
var nodeNames = []string{"n1", "n2", "n3"}

// traced publishes to three nodes and looks at the spans.
func traced(t *testing.T, b bus) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	var servers []*httptest.Server
	for _, name := range nodeNames {
		cfg := fanfare.Config{Dev: true, Node: name, Systems: []string{"orders"}, Transport: b.url,
			Drain: time.Millisecond, PublishTimeout: patience / 2}
		servers = append(servers, startNode(t, cfg, b.with(fanfare.WithTracerProvider(provider))...))
	}
	asked := connect(t, servers[1].URL, "&traceparent=true")
	unasked := connect(t, servers[1].URL, "")

	t.Run("from a program with a span", func(t *testing.T) {
		pub, err := publisher.NewOnBus(b.open(t), publisher.Config{Tracer: tracing.New(provider, "", "")})
		if err != nil {
			t.Fatal(err)
		}
		defer pub.Close()
		ctx, around := provider.Tracer("app").Start(t.Context(), "checkout")
		defer around.End()
		if _, err := pub.Publish(ctx, "orders", fanfare.Message{ID: "a", To: []string{"user:alice"}, Data: 1}); err != nil {
			t.Fatal(err)
		}
		publish := find(t, spans, 1, "publish fanfare.orders", around.SpanContext())[0]
		deliveries := find(t, spans, 3, "deliver fanfare.orders", publish.SpanContext())
		check(t, deliveries, "a", "offered")
		asked.wants(t, "a", traceparent(publish.SpanContext()))
		unasked.wants(t, "a", "")
		if _, err := pub.Publish(ctx, "orders", fanfare.Message{ID: "a", To: []string{"user:alice"}, Data: 1}); err != nil {
			t.Fatal(err)
		}
		both := find(t, spans, 2, "publish fanfare.orders", around.SpanContext())
		check(t, find(t, spans, 3, "deliver fanfare.orders", both[1].SpanContext()), "a", "duplicate")
	})

	t.Run("over HTTP", func(t *testing.T) {
		parent := strings.Replace(sampled, "4bf", "6bf", 1)
		post(t, servers[0].URL, parent, `{"to":"user:alice","id":"b","data":1}`)
		publish := find(t, spans, 1, "publish fanfare.orders", contextOf(t, parent))[0]
		if node := attributes(publish)["fanfare.node"]; node != "n1" {
			t.Errorf("the publish is said to be by node %v", node)
		}
		check(t, find(t, spans, 3, "deliver fanfare.orders", publish.SpanContext()), "b", "offered")
		asked.wants(t, "b", traceparent(publish.SpanContext()))
		unasked.wants(t, "b", "")
	})

	t.Run("from other programs", func(t *testing.T) {
		parent := strings.Replace(sampled, "4bf", "7bf", 1)
		raw := b.open(t)
		defer raw.Close()
		send := func(traceparent, id string) {
			m := message.NewMessage(id, []byte(`{"n":1}`))
			m.Metadata = message.Metadata{"to": "user:alice", "id": id, "traceparent": traceparent}
			if err := raw.Publish("fanfare.orders", m); err != nil {
				t.Fatal(err)
			}
		}
		send(strings.Replace(dropped, "4bf", "8bf", 1), "c")
		send("00-nonsense", "d")
		send(parent, "e")
		check(t, find(t, spans, 3, "deliver fanfare.orders", contextOf(t, parent)), "e", "offered")
		asked.wants(t, "c", strings.Replace(dropped, "4bf", "8bf", 1))
		asked.wants(t, "d", "")
		asked.wants(t, "e", parent)
		for _, s := range spans.Ended() { // those before e have been dealt with before it
			if id := attributes(s)["messaging.message.id"]; id == "c" || id == "d" {
				t.Errorf("there is a span of message %s, which nobody has sampled", id)
			}
		}
	})
}

// check checks that there is one delivery by each node, and that the one with sessions has
// offered the message to them.
func check(t *testing.T, deliveries []sdktrace.ReadOnlySpan, id, outcome string) {
	t.Helper()
	var nodes []string
	for _, s := range deliveries {
		a := attributes(s)
		node, _ := a["fanfare.node"].(string)
		nodes = append(nodes, node)
		sessions := int64(0)
		if node == "n2" && outcome == "offered" {
			sessions = 2
		}
		if a["messaging.message.id"] != id || a["fanfare.outcome"] != outcome || a["fanfare.sessions.offered"] != sessions {
			t.Errorf("node %s: %v", node, a)
		}
	}
	slices.Sort(nodes)
	if !slices.Equal(nodes, nodeNames) {
		t.Errorf("delivered by %v", nodes)
	}
}

// find waits until n spans of that name have the parent, and returns them in the order in
// which they ended.
func find(t *testing.T, spans *tracetest.SpanRecorder, n int, name string, parent trace.SpanContext) (all []sdktrace.ReadOnlySpan) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d spans %q below %s", n, name, traceparent(parent)), func() error {
		all = nil
		for _, s := range spans.Ended() {
			if s.Name() == name && s.Parent().TraceID() == parent.TraceID() && s.Parent().SpanID() == parent.SpanID() {
				all = append(all, s)
			}
		}
		if len(all) != n {
			return fmt.Errorf("there are %d", len(all))
		}
		return nil
	})
	return all
}

// eventually waits until check finds no fault.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(patience); ; {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("%s: not in time: %v", what, err)
		}
	}
}

// startNode runs a node until the test ends, and waits until it is ready.
func startNode(t *testing.T, cfg fanfare.Config, opts ...fanfare.Option) *httptest.Server {
	t.Helper()
	node, err := fanfare.New(t.Context(), cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	s := httptest.NewServer(node)
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.CloseClientConnections()
		s.Close()
	})
	eventually(t, "the node is ready", func() error {
		answer, err := s.Client().Get(s.URL + "/readyz")
		if err != nil {
			return err
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", answer.Status)
		}
		return nil
	})
	return s
}

// post publishes over HTTP.
func post(t *testing.T, url, traceparent, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/systems/orders/messages", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("traceparent", traceparent)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		t.Fatal(answer.Status)
	}
}

// A session is alice's.
type session struct {
	*websocket.Conn
	lines [][]byte // that were read with the one before: a frame may have several ops
}

// connect opens a session, which is live.
func connect(t *testing.T, url, query string) *session {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"fanfare.v1.json"}, HandshakeTimeout: patience}
	conn, _, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(url, "http")+"/ws?user=alice&systems=orders"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &session{Conn: conn}
	if op := s.read(t); op.Op != "hello" {
		t.Fatalf("the first op is %+v", op)
	}
	return s
}

type op struct {
	Op, ID  string
	Headers map[string]string
}

func (s *session) read(t *testing.T) (o op) {
	t.Helper()
	if len(s.lines) == 0 {
		_ = s.SetReadDeadline(time.Now().Add(patience))
		_, text, err := s.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		s.lines = bytes.Split(text, []byte("\n"))
	}
	if err := json.Unmarshal(s.lines[0], &o); err != nil {
		t.Fatal(err)
	}
	s.lines = s.lines[1:]
	return o
}

// wants reads the next message and checks which traceparent it has, "" for none.
func (s *session) wants(t *testing.T, id, traceparent string) {
	t.Helper()
	for {
		o := s.read(t)
		if o.Op != "message" {
			continue
		}
		if o.ID != id || o.Headers["traceparent"] != traceparent {
			t.Errorf("got %+v, want %s with traceparent %q", o, id, traceparent)
		}
		return
	}
}

// contextOf reads a traceparent.
func contextOf(t *testing.T, traceparent string) trace.SpanContext {
	t.Helper()
	traceID, err := trace.TraceIDFromHex(traceparent[3:35])
	if err != nil {
		t.Fatal(err)
	}
	spanID, err := trace.SpanIDFromHex(traceparent[36:52])
	if err != nil {
		t.Fatal(err)
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID})
}
