package ws_test

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// answered begins a session over a connection that records writes, and returns it.
func (n *node) answered(query, protocols string) *recordedConn {
	n.t.Helper()
	client, server := net.Pipe()
	c := &recordedConn{Conn: server, client: client, writes: make(chan []byte, 10)}
	n.t.Cleanup(func() { client.Close() })
	r := httptest.NewRequest(http.MethodGet, "/ws?"+query, nil)
	for name, value := range map[string]string{
		"Connection": "keep-alive, Upgrade", "Upgrade": "websocket", "Authorization": "Bearer alice",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": protocols,
	} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	n.server.ServeHTTP(&hijackedWriter{httptest.NewRecorder(), c}, r)
	return c
}

// A recordedConn is the node's end of a connection whose client reads nothing but writes.
type recordedConn struct {
	net.Conn
	client net.Conn
	writes chan []byte
}

func (c *recordedConn) Write(p []byte) (int, error) {
	c.writes <- bytes.Clone(p)
	return len(p), nil
}

func (c *recordedConn) first(t *testing.T) string {
	t.Helper()
	select {
	case p := <-c.writes:
		return string(p)
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was written")
		return ""
	}
}

type hijackedWriter struct {
	http.ResponseWriter
	conn net.Conn
}

func (w *hijackedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// running returns a node without a listener.
func running(t *testing.T) *node {
	n := newNode(t, config{})
	t.Cleanup(func() { n.stop(); <-n.stopped })
	return n
}

// The key and the accepted one are those of RFC 6455 §1.3.
func TestTheHandshakeIsAnsweredAsTheRFCWants(t *testing.T) {
	n := running(t)
	const answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	for protocols, want := range map[string]string{
		"":                               answer + "\r\n",
		"fanfare.plain":                  answer + "Sec-WebSocket-Protocol: fanfare.plain\r\n\r\n",
		"other, fanfare.v1.json":         answer + "Sec-WebSocket-Protocol: fanfare.v1.json\r\n\r\n",
		"fanfare.plain, fanfare.v1.json": answer + "Sec-WebSocket-Protocol: fanfare.v1.json\r\n\r\n",
	} {
		got := n.answered("systems=orders", protocols).first(t)
		head, frames, _ := strings.Cut(got, "\r\n\r\n")
		if head+"\r\n\r\n" != want {
			t.Errorf("%q: got %q", protocols, head)
		}
		if hello := strings.Contains(frames, `"op":"hello"`); hello != strings.Contains(want, "v1") {
			t.Errorf("%q: behind the answer stands %q", protocols, frames)
		}
	}
}

func TestTheAnswerHelloAndWhatWasMissedLeaveInOneWrite(t *testing.T) {
	n := running(t)
	c := n.answered("systems=orders", "fanfare.v1.json")
	_, rest, found := strings.Cut(c.first(t), `"cursor":"`)
	cursor, _, _ := strings.Cut(rest, `"`)
	if !found {
		t.Fatal("hello has no cursor")
	}
	c.client.Close()
	for _, data := range []string{"1", "2", "3"} {
		n.deliver("user:alice", "orders", data)
	}
	got := n.answered("systems=orders&resume=orders:"+cursor, "fanfare.v1.json").first(t)
	for _, part := range []string{
		"HTTP/1.1 101 ", "\r\n\r\n\x81", `"op":"hello"`, `"resumed":true`, `"data":1`, `"data":2`, `"data":3`,
	} {
		at := strings.Index(got, part)
		if at < 0 {
			t.Fatalf("%q is not in the first write, or not in its place: %q", part, got)
		}
		got = got[at:]
	}
}
