package e2e_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fanfarebus/fanfare/test/broker"
)

// Parents of what is published: spans of an application, of which two traces are recorded.
const (
	recorded     = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	recordedToo  = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	notRecorded  = "00-6bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	tracingBound = time.Minute // of anything that is waited for
)

// A collector is what nodes send spans to.
type collector struct {
	*httptest.Server
	mu       sync.Mutex
	requests int
	spans    []*tracepb.Span
	faults   []string
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent tracepb.TracesData
	if err == nil {
		err = proto.Unmarshal(body, &sent)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Api-Key") != "of the test" {
		c.faults = append(c.faults, fmt.Sprintf("%s %v: %v", r.URL, r.Header, err))
	}
	for _, of := range sent.ResourceSpans {
		for _, in := range of.ScopeSpans {
			c.spans = append(c.spans, in.Spans...)
		}
	}
}

// below returns the spans whose parent is the span that a traceparent names.
func (c *collector) below(traceparent string) (all []*tracepb.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) == traceparent[3:35] && hex.EncodeToString(s.ParentSpanId) == traceparent[36:52] {
			all = append(all, s)
		}
	}
	return all
}

// attribute returns an attribute of a span as text, "" if it is not there.
func attribute(s *tracepb.Span, key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			if v := a.Value.GetStringValue(); v != "" {
				return v
			}
			return fmt.Sprint(a.Value.GetIntValue())
		}
	}
	return ""
}

// A tracedSession is one of alice's on one node, which has asked for traces.
type tracedSession struct {
	*websocket.Conn
	lines [][]byte
}

func openTraced(t *testing.T, c *cluster, n *node) *tracedSession {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"fanfare.v1.json"}, HandshakeTimeout: tracingBound}
	conn, _, err := dialer.DialContext(t.Context(), "ws://"+n.addr+"/ws?systems=orders&traceparent=true",
		http.Header{"Authorization": {"Bearer " + c.token("alice", "orders")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &tracedSession{Conn: conn}
}

// next returns the id and the traceparent of the next message.
func (s *tracedSession) next(t *testing.T) (id, traceparent string) {
	t.Helper()
	for {
		for len(s.lines) == 0 {
			_ = s.SetReadDeadline(time.Now().Add(tracingBound))
			_, text, err := s.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			s.lines = bytes.Split(text, []byte("\n"))
		}
		var op struct {
			Op, ID  string
			Headers map[string]string
		}
		if err := json.Unmarshal(s.lines[0], &op); err != nil {
			t.Fatal(err)
		}
		if s.lines = s.lines[1:]; op.Op == "message" {
			return op.ID, op.Headers["traceparent"]
		}
	}
}

// publishTraced publishes a message for alice at a node.
func publishTraced(t *testing.T, c *cluster, n *node, id, traceparent string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+n.addr+"/v1/systems/orders/messages",
		strings.NewReader(`{"to":"user:alice","data":1,"id":"`+id+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + c.key}, "Traceparent": {traceparent}}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		t.Fatalf("message %s: %s", id, answer.Status)
	}
}

// endAll asks the nodes to end, and waits until they have ended well.
func endAll(t *testing.T, c *cluster) {
	t.Helper()
	for _, n := range c.nodes {
		n.terminate()
	}
	for _, n := range c.nodes {
		if code := n.exit(tracingBound); code != 0 {
			t.Errorf("node %s has ended with %d", n.name, code)
		}
	}
}

// Three nodes send their spans to a collector, and those that they have left when they end.
func TestTracing(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"redis-streams", "redis"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			to := newCollector(t)
			c := newCluster(t, 3, broker.Redis(t).URL(scheme), settings{
				"OTEL_EXPORTER_OTLP_ENDPOINT": to.URL, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=of%20the%20test",
				"OTEL_BSP_SCHEDULE_DELAY": "3600000", // spans are sent at the end
				"PUBLISH_TIMEOUT":         "30s",     // so that no publish is tried twice
			})
			var sessions []*tracedSession
			for _, n := range c.nodes {
				sessions = append(sessions, openTraced(t, c, n))
			}
			for _, m := range []struct{ id, parent string }{{"a", recorded}, {"b", notRecorded}, {"c", recordedToo}} {
				publishTraced(t, c, c.nodes[0], m.id, m.parent)
				var seen []string
				for i, s := range sessions {
					id, traceparent := s.next(t)
					if id != m.id || traceparent[3:35] != m.parent[3:35] || (m.parent == notRecorded) != (traceparent == m.parent) {
						t.Errorf("%s is given message %s of %q, published as %s of %s", c.nodes[i].name, id, traceparent, m.id, m.parent)
					}
					seen = append(seen, traceparent)
				}
				if len(slices.Compact(seen)) != 1 {
					t.Errorf("sessions are given different traces: %v", seen)
				}
			}
			endAll(t, c)
			for id, parent := range map[string]string{"a": recorded, "c": recordedToo} {
				wantTrace(t, to, id, parent)
			}
			if n := len(to.spans); n != 2*4 || len(to.faults) > 0 {
				t.Errorf("the collector has %d spans, want 8: %v; faults: %v", n, to.spans, to.faults)
			}
		})
	}
}

// wantTrace wants one publish, by the first node, and below it one delivery by each node.
func wantTrace(t *testing.T, to *collector, id, parent string) {
	t.Helper()
	all := to.below(parent)
	if len(all) != 1 || all[0].Name != "publish fanfare.orders" || attribute(all[0], "fanfare.node") != "n1" {
		t.Fatalf("below the application's span are %v", all)
	}
	publish := "00-" + hex.EncodeToString(all[0].TraceId) + "-" + hex.EncodeToString(all[0].SpanId) + "-01"
	var nodes []string
	for _, s := range to.below(publish) {
		nodes = append(nodes, attribute(s, "fanfare.node"))
		if s.Name != "deliver fanfare.orders" || s.Kind != tracepb.Span_SPAN_KIND_CONSUMER ||
			attribute(s, "messaging.message.id") != id || attribute(s, "fanfare.sessions.offered") != "1" ||
			attribute(s, "fanfare.outcome") != "offered" || s.EndTimeUnixNano < s.StartTimeUnixNano {
			t.Errorf("got %v", s)
		}
	}
	slices.Sort(nodes)
	if !slices.Equal(nodes, []string{"n1", "n2", "n3"}) {
		t.Errorf("message %s was delivered by %v", id, nodes)
	}
}

// A node that is not asked for spans sends none, and still passes traces on.
func TestTracingIsOff(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]settings{
		"because it is disabled":        {"OTEL_SDK_DISABLED": "true"},
		"because of a protocol unknown": {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := newCollector(t)
			env["OTEL_EXPORTER_OTLP_ENDPOINT"], env["OTEL_BSP_SCHEDULE_DELAY"] = to.URL, "1"
			env["PUBLISH_TIMEOUT"] = "30s"
			c := newCluster(t, 1, "memory:", env)
			s := openTraced(t, c, c.nodes[0])
			publishTraced(t, c, c.nodes[0], "a", recorded)
			if id, traceparent := s.next(t); id != "a" || traceparent != recorded {
				t.Errorf("got %s of %s", id, traceparent)
			}
			endAll(t, c)
			if to.requests > 0 {
				t.Errorf("%d requests were sent to the collector", to.requests)
			}
			if said := strings.Contains(c.nodes[0].log.String(), "tracing is off"); said == (env["OTEL_SDK_DISABLED"] != "") {
				t.Errorf("that tracing is off is said: %t", said)
			}
		})
	}
}

// A collector that does not answer holds nothing up: neither messages nor the node's end.
func TestTracingToNobody(t *testing.T) {
	t.Parallel()
	silent := make(chan struct{})
	to := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-silent }))
	t.Cleanup(to.Close)
	t.Cleanup(func() { close(silent) })
	c := newCluster(t, 1, "memory:", settings{"OTEL_EXPORTER_OTLP_ENDPOINT": to.URL, "OTEL_BSP_SCHEDULE_DELAY": "1", "PUBLISH_TIMEOUT": "30s"})
	s := openTraced(t, c, c.nodes[0])
	for i := range 10 {
		publishTraced(t, c, c.nodes[0], fmt.Sprint(i), recorded)
		if id, _ := s.next(t); id != fmt.Sprint(i) {
			t.Errorf("got %s, want %d", id, i)
		}
	}
	endAll(t, c)
	if log := c.nodes[0].log.String(); !strings.Contains(log, "the last spans were not sent in time") {
		t.Errorf("nothing is said of the spans that are lost")
	}
}
