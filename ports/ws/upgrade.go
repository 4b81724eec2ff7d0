package ws

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"

	"github.com/oklog/ulid/v2"
	"github.com/olahol/melody"
)

// ServeHTTP refuses the request with problem+json, or makes it a session and
// returns: the session goes on in a goroutine of the Server's.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.serve(w, r); err != nil {
		refusal := asRefusal(err)
		s.counters.countRefused(refusal.status)
		refusal.write(w)
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	from := peer(r, s.cfg.Proxies)
	if s.failures.tooMany(from, s.now()) {
		return &refusal{http.StatusTooManyRequests, "too many refused connections from your address", retryLater}
	}
	h, err := s.shake(r)
	if err != nil {
		s.failures.note(from, s.now())
		return err
	}
	if err := s.admit(); err != nil {
		return err
	}
	c, err := s.begin(r.Context(), h)
	if err == nil {
		err = c.hijack(w)
	}
	if err != nil {
		if c != nil {
			c.detach()
		}
		s.dismiss()
		return err
	}
	go c.run(slim(r, c, h.protocol)) // Run and Drain wait for it
	return nil
}

// begin makes a session and attaches it, so that nothing is missed of what is
// published after the client has its answer.
func (s *Server) begin(ctx context.Context, h *handshake) (*session, error) {
	c := &session{server: s, id: ulid.Make().String(), name: h.grant.User, plain: h.plain,
		grant: h.grant, slot: -1, turn: rand.IntN(1 << 16)}
	c.setExpiry(h.grant.Expires)
	for i := range h.systems {
		lease, err := s.hub.Acquire(ctx, h.systems[i].system)
		if err != nil {
			c.detach()
			return nil, err
		}
		a := &attachment{session: c, lease: lease, rooms: h.systems[i].rooms}
		a.attach(h.systems[i].since)
		c.systems = append(c.systems, a)
	}
	return c, nil
}

// hijack takes the connection from the HTTP server, so that its goroutine and
// buffers can go.
func (c *session) hijack(w http.ResponseWriter) error {
	raw, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("ws: this server can not be hijacked: %w", err)
	}
	var unread []byte
	if n := rw.Reader.Buffered(); n > 0 {
		peeked, _ := rw.Reader.Peek(n) // what is buffered can be peeked
		unread = append(unread, peeked...)
	}
	c.conn = &conn{Conn: raw, unread: unread, stall: c.server.cfg.Stall}
	cfg := &c.server.cfg
	c.out = outbox{bytes: cfg.OutboxBytes, frames: cfg.OutboxFrames, plain: c.plain, conn: c.conn}
	return nil
}

// run serves the session until its connection ends.
func (c *session) run(r *http.Request) {
	defer c.server.dismiss()
	if err := c.server.melody.HandleRequest(&takeover{c.conn}, r); err != nil {
		c.server.log.Debug("ws: upgrade failed", "user", c.name, "session", c.id, "err", err)
	}
	c.end()
}

type sessionKey struct{}

// slim returns as much of a request as melody needs, and keeps for as long as
// the session lives. It carries the session.
func slim(r *http.Request, c *session, protocol string) *http.Request {
	header := make(http.Header, 5)
	for _, name := range []string{"Connection", "Upgrade", "Sec-Websocket-Version", "Sec-Websocket-Key"} {
		header[name] = r.Header[name]
	}
	if protocol != "" {
		header["Sec-Websocket-Protocol"] = []string{protocol}
	}
	small := &http.Request{Method: http.MethodGet, Header: header}
	return small.WithContext(context.WithValue(context.Background(), sessionKey{}, c))
}

// sessionOf returns the session that a request of slim carries.
func sessionOf(m *melody.Session) *session {
	return m.Request.Context().Value(sessionKey{}).(*session)
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
