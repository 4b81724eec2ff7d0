package ws

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/olahol/melody"
)

// ServeHTTP rejects the request with problem+json, or makes a session of it and
// returns. The session goes on in a goroutine of its own.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, err := readHandshake(r)
	if err != nil {
		s.reject(w, r, err)
		return
	}
	open, err := s.registry.Open(r, h.protocol())
	if err != nil {
		s.reject(w, r, err)
		return
	}
	c := &client{Session: open, server: s, plain: h.plain}
	if err := c.hijack(w); err != nil {
		c.End(0)
		s.reject(w, r, err)
		return
	}
	go c.run(smallRequest(r, c, h.subprotocol)) // the Registry waits for its End
}

// hijack takes the connection from the HTTP server, so that its goroutine and
// buffers can go.
func (c *client) hijack(w http.ResponseWriter) error {
	raw, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("ws: this server can not be hijacked: %w", err)
	}
	var unread []byte
	if n := rw.Reader.Buffered(); n > 0 {
		peeked, _ := rw.Reader.Peek(n) // does not fail for what is buffered
		unread = append(unread, peeked...)
	}
	cfg := &c.server.cfg
	c.conn = &conn{
		Conn: raw, unread: unread, stall: cfg.Stall,
		frames: frames{allow: c.allowFrame}, breach: c.breach,
	}
	c.out = outbox{
		maxBytes: cfg.OutboxBytes, maxFrames: cfg.OutboxFrames, plain: c.plain,
	}
	return nil
}

// run serves the session until its connection ends.
func (c *client) run(r *http.Request) {
	if err := c.server.melody.HandleRequest(&hijacked{c.conn}, r); err != nil {
		c.server.log.Debug("ws: upgrade failed", "user", c.User, "session", c.ID, "err", err)
	}
	c.end()
}

// A clientKey is the key of the client in a request's context.
type clientKey struct{}

// smallRequest returns a request with what melody needs, and the client in its
// context. Melody keeps the request for as long as the session lives, so it holds no
// more than that.
func smallRequest(r *http.Request, c *client, protocol string) *http.Request {
	header := make(http.Header, 5)
	for _, name := range []string{
		"Connection", "Upgrade", "Sec-Websocket-Version", "Sec-Websocket-Key",
	} {
		header[name] = r.Header[name]
	}
	if protocol != "" {
		header["Sec-Websocket-Protocol"] = []string{protocol}
	}
	small := &http.Request{Method: http.MethodGet, Header: header}
	return small.WithContext(context.WithValue(context.Background(), clientKey{}, c))
}

// clientOf returns the client of a melody session.
func clientOf(m *melody.Session) *client {
	return m.Request.Context().Value(clientKey{}).(*client)
}

// A hijacked passes a connection that was hijacked before to melody's upgrade, which
// wants to hijack it from an http.ResponseWriter. Nothing is ever answered through
// this one: checkUpgrade has made sure of that.
type hijacked struct{ conn *conn }

var errHijacked = errors.New("ws: the connection is hijacked")

func (h *hijacked) Header() http.Header       { return nil }
func (h *hijacked) Write([]byte) (int, error) { return 0, errHijacked }
func (h *hijacked) WriteHeader(int)           {}

// Hijack returns the connection with small buffers. The WebSocket library does not
// keep them: it reads with a buffer of its own, and uses the writer for the answer
// to the handshake alone.
func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	reader, writer := bufio.NewReaderSize(h.conn, 16), bufio.NewWriterSize(h.conn, 256)
	return h.conn, bufio.NewReadWriter(reader, writer), nil
}
