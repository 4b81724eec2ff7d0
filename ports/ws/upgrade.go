package ws

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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
	c.begin(h.answer())
	go c.run() // the Registry waits for its End
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
		Conn: raw, client: c, unread: unread, stall: cfg.Stall,
		frames: frames{allow: c.allowFrame}, breach: c.breach,
	}
	c.out = outbox{
		maxBytes: cfg.OutboxBytes, maxFrames: cfg.OutboxFrames, plain: c.plain,
	}
	return nil
}

// begin begins the session. A writer is sent when that is done, so that the answer to the
// handshake, hello and what the client has missed leave in one write. All this runs in the
// HTTP server's goroutine, which ends soon, so that the stack of the session's own
// goroutine need not grow for it.
func (c *client) begin(answer []byte) {
	c.socket, c.shard = c.conn.raw(), c.server.nextShard()
	c.out.begin(answer)
	c.server.pings.add(c)
	c.Begin(c)
	c.schedule(true)
}

// run serves the session until its connection ends.
func (c *client) run() {
	if err := c.server.melody.HandleRequest((*hijacked)(c.conn), upgradeRequest); err != nil {
		c.logFailure(err)
	}
	c.end()
}

// logFailure is a function of its own so that run needs little stack, which the session
// holds for as long as it lives.
//
//go:noinline
func (c *client) logFailure(err error) {
	c.server.log.Warn("ws: upgrade failed", "user", c.User, "session", c.ID, "err", err)
}

// upgradeRequest is the request that melody and its WebSocket library are shown, for all
// sessions. They only check that it asks for an upgrade. What the client sent was checked
// before, and answered (see handshake.answer).
var upgradeRequest = &http.Request{Method: http.MethodGet, Header: http.Header{
	"Connection":            {"Upgrade"},
	"Upgrade":               {"websocket"},
	"Sec-Websocket-Version": {"13"},
	"Sec-Websocket-Key":     {"AAAAAAAAAAAAAAAAAAAAAA=="},
}}

// clientOf returns the client of a melody session.
func clientOf(m *melody.Session) *client {
	return m.WebsocketConnection().NetConn().(*conn).client
}

// A hijacked passes a connection that was hijacked before to melody's upgrade, which
// wants to hijack it from an http.ResponseWriter. Nothing is ever answered through
// this one: upgradeRequest has no faults.
type hijacked conn

var errHijacked = errors.New("ws: the connection is hijacked")

func (h *hijacked) Header() http.Header       { return nil }
func (h *hijacked) Write([]byte) (int, error) { return 0, errHijacked }
func (h *hijacked) WriteHeader(int)           {}

// Hijack returns the connection, with buffers that the WebSocket library does not keep:
// it reads with a buffer of its own, and writes nothing that anybody is sent.
func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return (*conn)(h), &bufio.ReadWriter{
		Reader: emptyReader, Writer: bufio.NewWriterSize(io.Discard, 256),
	}, nil
}

// emptyReader has nothing buffered, which is all that it is asked.
var emptyReader = bufio.NewReaderSize(nil, 16)
