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

// ServeHTTP refuses the request with problem+json, or makes it a session and
// returns: the session goes on in a goroutine of the Server's.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, err := readHandshake(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	open, err := s.registry.Open(r, h.protocol())
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	c := &client{Session: open, server: s, plain: h.plain}
	if err := c.hijack(w); err != nil {
		c.End(0)
		s.refuse(w, r, err)
		return
	}
	go c.run(slim(r, c, h.subprotocol)) // the Registry waits for it
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
		peeked, _ := rw.Reader.Peek(n) // what is buffered can be peeked
		unread = append(unread, peeked...)
	}
	cfg := &c.server.cfg
	c.conn = &conn{
		Conn: raw, unread: unread, stall: cfg.Stall, frames: frames{allow: c.frame}, breach: c.breach,
	}
	c.out = outbox{bytes: cfg.OutboxBytes, frames: cfg.OutboxFrames, plain: c.plain, conn: c.conn}
	return nil
}

// run serves the session until its connection ends.
func (c *client) run(r *http.Request) {
	if err := c.server.melody.HandleRequest(&takeover{c.conn}, r); err != nil {
		c.server.log.Debug("ws: upgrade failed", "user", c.User, "session", c.ID, "err", err)
	}
	c.end()
}

type clientKey struct{}

// slim returns as much of a request as melody needs, and keeps for as long as
// the session lives. It carries the client.
func slim(r *http.Request, c *client, protocol string) *http.Request {
	header := make(http.Header, 5)
	for _, name := range []string{"Connection", "Upgrade", "Sec-Websocket-Version", "Sec-Websocket-Key"} {
		header[name] = r.Header[name]
	}
	if protocol != "" {
		header["Sec-Websocket-Protocol"] = []string{protocol}
	}
	small := &http.Request{Method: http.MethodGet, Header: header}
	return small.WithContext(context.WithValue(context.Background(), clientKey{}, c))
}

// clientOf returns the client that a request of slim carries.
func clientOf(m *melody.Session) *client {
	return m.Request.Context().Value(clientKey{}).(*client)
}

// A takeover hands a hijacked connection to an upgrade. It is a ResponseWriter
// in name: checkUpgrade has made sure that nothing is answered through it.
type takeover struct{ conn *conn }

func (t *takeover) Header() http.Header       { return nil }
func (t *takeover) Write([]byte) (int, error) { return 0, errors.New("ws: the connection is hijacked") }
func (t *takeover) WriteHeader(int)           {}

// Hijack returns the connection with small buffers, of which the WebSocket
// library keeps none: it reads with its own, and answers from this one.
func (t *takeover) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return t.conn, bufio.NewReadWriter(bufio.NewReaderSize(t.conn, 16), bufio.NewWriterSize(t.conn, 256)), nil
}
