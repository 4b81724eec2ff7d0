package fanfare_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare"
)

// A message that is a little too large is answered with an error. It does not end
// the session.
func TestTheLimitOfAMessageIsThatOfItsData(t *testing.T) {
	_, url := runNode(t, fanfare.Config{})
	d := connect(t, url, "alice", "")
	d.read(t)
	for ref, size := range []int{64<<10 - 2, 64<<10 - 1, 64<<10 - 2} { // beside the quotes
		send := fmt.Sprintf(`{"op":"send","ref":%d,"system":"orders","to":"room:lobby","data":"%s"}`, ref, strings.Repeat("x", size))
		if err := d.conn.WriteMessage(websocket.TextMessage, []byte(send)); err != nil {
			t.Fatal(err)
		}
		want := "ok"
		if size > 64<<10-2 {
			want = "error"
		}
		if o := d.read(t); o.Op != want {
			t.Errorf("%d bytes: %+v, want %s", size, o, want)
		}
	}
}

// If the settings allow more operations, they allow the frames that these come in.
func TestRateOfFramesFollowsThatOfOperations(t *testing.T) {
	const ops = 2_000
	_, url := runNode(t, fanfare.Config{Limits: fanfare.LimitsConfig{InboundRate: ops}})
	d := connect(t, url, "alice", "")
	d.read(t)
	for i := range ops {
		leave := []byte(`{"op":"leave","ref":1,"system":"orders","room":"x"}`)
		if err := d.conn.WriteMessage(websocket.TextMessage, leave); err != nil {
			t.Fatalf("op %d: %v", i, err)
		}
		if o := d.read(t); o.Op != "ok" {
			t.Fatalf("answer %d: %+v", i, o)
		}
	}
}

// The number of systems that one user alone keeps open is bounded, over all the
// user's sessions and both ports. Systems count until they are closed, also when the
// sessions are gone.
func TestUserWhoTakesManySystemsIsRefusedAndOthersAreNot(t *testing.T) {
	node, err := fanfare.New(t.Context(), fanfare.Config{Dev: true, Drain: 1, Limits: fanfare.LimitsConfig{SystemsPerUser: 20}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	server := httptest.NewServer(node)
	defer server.Close()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	attach := func(user string, first, count int, accept string) (status int, body string) {
		t.Helper()
		var systems []string
		for i := range count {
			systems = append(systems, fmt.Sprint("s", first+i))
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel() // the session ends
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/sse?user="+user+"&systems="+strings.Join(systems, ","), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		line := make([]byte, 400)
		n, _ := io.ReadFull(answer.Body, line[:100])
		return answer.StatusCode, string(line[:n])
	}
	if status, body := attach("mallory", 0, 16, ""); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if status, _ := attach("mallory", 16, 16, ""); status != http.StatusTooManyRequests {
		t.Errorf("32 systems: %d", status)
	}
	if status, _ := attach("mallory", 0, 16, ""); status != http.StatusOK {
		t.Errorf("what she has already: %d", status)
	}
	if status, body := attach("mallory", 100, 16, "text/event-stream"); status != http.StatusOK || !strings.Contains(body, "goaway") {
		t.Errorf("an EventSource: %d %s", status, body)
	}
	_, answer, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws?user=mallory&systems=z1", nil)
	if err == nil || answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
		t.Errorf("a WebSocket: %v %v", answer, err)
	}
	if status, body := attach("bob", 200, 16, ""); status != http.StatusOK {
		t.Errorf("another user: %d %s", status, body)
	}
}
