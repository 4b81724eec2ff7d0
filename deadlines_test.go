package fanfare_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare"
)

// A host is a node in a server without bounds of its own, as a user's server may
// be.
type host struct {
	url, addr string
	handler   http.Handler

	mu   sync.Mutex
	open map[net.Conn]bool // guarded by mu
}

func (h *host) changed(c net.Conn, state http.ConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(h.open, c)
		return
	}
	_ = c.(*net.TCPConn).SetWriteBuffer(64 << 10) // small, so that it fills up soon
	h.open[c] = true
}

func (h *host) connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.open)
}

func newHost(t *testing.T, admin bool) *host {
	t.Helper()
	node, err := fanfare.New(t.Context(), fanfare.Config{Dev: true, Systems: []string{"orders"}, Drain: 1, Limits: fanfare.LimitsConfig{
		AnswerTime: 500 * time.Millisecond, BodyTime: 2 * time.Second, BodyStall: 500 * time.Millisecond,
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	h := &host{open: map[net.Conn]bool{}}
	handler := node.Handler()
	if admin {
		handler = node.AdminHandler()
	}
	h.handler = handler
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = h.changed
	server.Start()
	h.url, h.addr = server.URL, server.Listener.Addr().String()
	t.Cleanup(func() {
		stop()
		server.CloseClientConnections()
		server.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *host) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// within waits until ok, and asks again and again.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(limit); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v in vain for: %s", limit, what)
		}
	}
}

// flood writes until the other end reads no more or has closed the connection.
func flood(c net.Conn, text string) {
	_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
	batch := []byte(strings.Repeat(text, 1+(16<<10)/len(text)))
	for {
		_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write(batch); err != nil {
			return
		}
	}
}

func TestAClientThatReadsNoAnswersLosesItsConnection(t *testing.T) {
	for _, admin := range []bool{false, true} {
		for _, request := range []string{
			"GET /nope", "HEAD /nope", "OPTIONS /nope", "DELETE /metrics", "GET /metrics", "HEAD /metrics", "GET /docs", "GET /openapi.json",
			"GET /readyz", "GET /ws", "GET /sse", "OPTIONS /sse", "GET /", "GET /v1/nope", "POST /v1/systems/orders/messages",
			"GET /v1/nodes", "GET /v1/users/alice/block",
			// A command that is carried out waits for the bus first, and ten a second fill no buffer.
			"PUT /v1/users/alice/block?wait=never",
		} {
			t.Run(fmt.Sprintf("%s admin=%v", request, admin), func(t *testing.T) {
				t.Parallel()
				h := newHost(t, admin)
				flood(h.dial(t), request+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
				// The server may still have to answer what was sent.
				within(t, time.Minute, "the connection's end", func() bool { return h.connections() == 0 })
			})
		}
	}
}

func TestABodyThatDoesNotComeCostsTheConnection(t *testing.T) {
	const publish = "POST /v1/systems/orders/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	for name, tt := range map[string]struct{ first, then string }{
		"announced":              {publish + "Content-Length: 4000000\r\n\r\n{", ""},
		"not even begun":         {publish + "Content-Length: 10\r\n\r\n", ""},
		"waiting to be asked":    {publish + "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n", ""},
		"dripping":               {publish + "Content-Length: 4000000\r\n\r\n{", " "},
		"chunks without an end":  {publish + "Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"},
		"a chunk without an end": {publish + "Transfer-Encoding: chunked\r\n\r\nfffff\r\n", " "},
		"to nowhere":             {"POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n", ""},
		"to nowhere, dripping":   {"POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n", " "},
		"of a command":           {"PUT /v1/users/alice/block HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n", ""},
		"of a GET":               {"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n", ""},
		"of an upgrade refused":  {"GET /ws HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, false)
			c := h.dial(t)
			if _, err := io.WriteString(c, tt.first); err != nil {
				t.Fatal(err)
			}
			within(t, time.Minute, "the connection's end", func() bool {
				_, _ = io.WriteString(c, tt.then) // it may be gone
				return h.connections() == 0
			})
		})
	}
}

func TestMetricsAreAnsweredWhileOthersDoNotReadTheirs(t *testing.T) {
	h := newHost(t, false)
	for range 20 {
		go flood(h.dial(t), "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	for i := range 50 {
		r, err := http.Get(h.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != http.StatusOK || err != nil || !strings.Contains(string(body), "fanfare_sessions ") {
			t.Fatalf("scrape %d: %d, %v", i, r.StatusCode, err)
		}
	}
}

// limits.answer_time does not bound sessions, which go on when it is over.
func TestASessionOutlivesTheTimeForAnswers(t *testing.T) {
	h := newHost(t, false)
	events, err := http.Get(h.url + "/sse?user=alice&systems=orders")
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	d := connect(t, h.url, "bob", "")
	d.read(t) // hello
	timer := time.NewTimer(1500 * time.Millisecond)
	<-timer.C
	r, err := http.Post(h.url+"/v1/systems/orders/messages", "application/json", strings.NewReader(`{"to":"*","data":"late"}`))
	if err != nil || r.StatusCode != http.StatusAccepted {
		t.Fatal(r, err)
	}
	r.Body.Close()
	if o := d.read(t); o.Op != "message" {
		t.Errorf("the WebSocket got %+v", o)
	}
	lines := bufio.NewScanner(events.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"late"`) {
			return
		}
	}
	t.Errorf("the event stream ended: %v", lines.Err())
}

// A deadline that was set for one answer does not hold for the next answer on the
// same connection.
func TestDeadlinesEndWithTheirRequest(t *testing.T) {
	h := newHost(t, false)
	c := h.dial(t)
	in := bufio.NewReader(c)
	for i, request := range []string{
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /v1/systems/orders/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n" + `{"to":"*","data":123}`,
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		if i > 0 {
			timer := time.NewTimer(700 * time.Millisecond)
			<-timer.C
		}
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		r, err := http.ReadResponse(in, nil)
		if errors.Is(err, os.ErrDeadlineExceeded) || err != nil || r.StatusCode >= 300 {
			t.Fatalf("request %d: %v, %v", i, r, err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
}

// over serves a node's handler with HTTP/2, or with HTTP/1.1 over TLS. It returns
// the server's URL and a client for it.
func over(t *testing.T, two bool, h http.Handler) (url string, c *http.Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = two
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, s.Client()
}

// In HTTP/2 a deadline ends the stream even while nobody writes. So one that was
// set for the answer must not end a request whose body is still coming.
func TestASlowPublisherIsServedInEitherHTTP(t *testing.T) {
	for name, two := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, false)
			url, c := over(t, two, h.handler)
			body, out := io.Pipe()
			go func() { // the answer's time is 500 ms, the body's 2 s
				defer out.Close()
				tick := time.NewTicker(250 * time.Millisecond)
				defer tick.Stop()
				for _, part := range []string{`{"to"`, `:"*"`, `,"data"`, `:`, `1}`} {
					<-tick.C
					_, _ = io.WriteString(out, part) // the request may have failed
				}
			}()
			r, err := c.Post(url+"/v1/systems/orders/messages", "application/json", body)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			if r.StatusCode != http.StatusAccepted || r.Proto != name {
				t.Errorf("%s in %s", r.Status, r.Proto)
			}
		})
	}
}

func TestABodyThatDoesNotComeIsRefusedInHTTP2(t *testing.T) {
	h := newHost(t, false)
	url, c := over(t, true, h.handler)
	body, out := io.Pipe()
	defer out.Close()
	began := time.Now()
	r, err := c.Post(url+"/v1/systems/orders/messages", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if took := time.Since(began); r.StatusCode != http.StatusRequestTimeout || took > 5*time.Second {
		t.Errorf("%s after %v", r.Status, took)
	}
}

func TestAnEventStreamOutlivesTheTimeForAnswersInHTTP2(t *testing.T) {
	h := newHost(t, false)
	url, c := over(t, true, h.handler)
	events, err := c.Get(url + "/sse?user=alice&systems=orders")
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	<-time.NewTimer(1500 * time.Millisecond).C
	r, err := c.Post(url+"/v1/systems/orders/messages", "application/json", strings.NewReader(`{"to":"*","data":"late"}`))
	if err != nil || r.StatusCode != http.StatusAccepted {
		t.Fatal(r, err)
	}
	r.Body.Close()
	lines := bufio.NewScanner(events.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"late"`) {
			return
		}
	}
	t.Errorf("the event stream ended: %v", lines.Err())
}
