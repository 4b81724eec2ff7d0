package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// nginx must forward each event as it comes, and not wait until its buffer is full.
// An EventSource behind nginx must be able to resume.
func TestEventsComeThroughNginxUnbuffered(t *testing.T) {
	c := newCluster(t, 1, "memory://", nil)
	c.withNginx()
	s := c.listen(t, "alice", "")
	s.wants(t, `{"op":"hello"`)
	for i := range 20 {
		c.say(t, i)
		s.wants(t, fmt.Sprintf(`"data":%d}`, i))
	}
	s.close()
	c.say(t, 20)
	s = c.listen(t, "alice", s.id)
	s.wants(t, `"resumed":true`)
	s.wants(t, `"data":20}`)
}

// events are what an EventSource reads.
type events struct {
	lines *bufio.Scanner
	close context.CancelFunc
	id    string
}

func (c *cluster) listen(t *testing.T, user, id string) *events {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.front+"/sse?systems=orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token(user, "orders"))
	if id != "" {
		r.Header.Set("Last-Event-ID", id)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("%s %s", resp.Status, kind)
	}
	return &events{lines: bufio.NewScanner(resp.Body), close: cancel}
}

// wants reads one event, whose data must be JSON and hold the part.
func (s *events) wants(t *testing.T, part string) {
	t.Helper()
	for s.lines.Scan() {
		field, value, _ := strings.Cut(s.lines.Text(), ": ")
		if field == "id" {
			s.id = value
		}
		if field != "data" {
			continue
		}
		if !json.Valid([]byte(value)) || !strings.Contains(value, part) {
			t.Fatalf("want %s, got %s", part, value)
		}
		return
	}
	t.Fatalf("want %s, got %v", part, s.lines.Err())
}

// say publishes a number to alice.
func (c *cluster) say(t *testing.T, number int) {
	t.Helper()
	a, err := c.post("orders", fmt.Sprintf(`{"to":"user:alice","data":%d}`, number))
	if err != nil || a.status != http.StatusAccepted {
		t.Fatalf("publish: %+v %v", a, err)
	}
}

// The limits of a node apply to its sessions of all kinds together.
func TestSessionsOfAUserAreCountedOverAllPorts(t *testing.T) {
	c := newCluster(t, 1, "memory://", settings{"LIMITS_SESSIONS_PER_USER": "1"})
	header := http.Header{"Authorization": {"Bearer " + c.token("alice", "orders")}, "Sec-Websocket-Protocol": {"fanfare.v1.json"}}
	socket, _, err := websocket.DefaultDialer.Dial("ws://"+c.front+"/ws?systems=orders", header)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	s := c.listen(t, "alice", "")
	s.wants(t, `{"op":"hello"`)
	_ = socket.SetReadDeadline(time.Now().Add(10 * time.Second))
	for err == nil {
		_, _, err = socket.ReadMessage()
	}
	if !websocket.IsCloseError(err, 4010) {
		t.Errorf("the WebSocket session ended with %v, want 4010", err)
	}
	eventually(t, 10*time.Second, "one session is left", func() error { // the other counts until its connection is done
		if sessions, events := c.metric("fanfare_sessions"), c.metric("fanfare_sse_sessions"); sessions != 1 || events != 1 {
			return fmt.Errorf("%v sessions, %v over SSE", sessions, events)
		}
		return nil
	})
	c.nodes[0].terminate()
	s.wants(t, `{"op":"goaway"`)
	if code := c.nodes[0].exit(10 * time.Second); code != 0 {
		t.Errorf("the node's exit code was %d", code)
	}
}
