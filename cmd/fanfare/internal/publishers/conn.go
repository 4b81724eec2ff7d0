package publishers

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// slack is how much longer than asked for a deadline may be. Setting one for every
// request would cost more than reading its head.
const slack = time.Second

// A conn is a connection that is served here. Its own goroutine uses it, but for its
// state, closeIfWaiting and abort.
type conn struct {
	server *Server
	net.Conn
	in     *bufio.Reader
	cancel context.CancelFunc // ends the context of its requests
	idle   time.Duration      // for which it may wait for a request; 0: for ever

	state atomic.Int32 // waiting, busy or closed

	req   *http.Request // the request that is being served
	blank *http.Request // what all requests but the first begin as
	url   url.URL       // of blank
	head  head
	body  body
	out   answer
	at    time.Time // when the last answer was made

	readBy, writeBy time.Time // the deadlines that are set
}

// The states of a conn: it waits for a request, serves one, or was closed while it
// waited.
const (
	busy int32 = iota
	waiting
	closed
)

// newConn makes a conn of a connection on which net/http has read the request first,
// but not its body.
func newConn(
	s *Server, stream net.Conn, in *bufio.Reader, first *http.Request, cancel context.CancelFunc,
) *conn {
	c := &conn{server: s, Conn: stream, in: in, cancel: cancel, req: first}
	c.idle = cmp.Or(s.std.IdleTimeout, s.std.ReadTimeout) // as net/http does
	c.body = body{conn: c, left: int(first.ContentLength)}
	c.out = answer{header: make(http.Header), conn: c}
	first.Body = &c.body
	c.blank = (&http.Request{
		Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL: &c.url, Body: &c.body, RemoteAddr: first.RemoteAddr,
	}).WithContext(first.Context())
	return c
}

// serve serves requests until the connection is closed or given back.
func (c *conn) serve() {
	given := false
	defer func() { // also when the handler panics, which net/http logs
		if !given {
			_ = c.Close()
			c.setState(http.StateClosed)
		}
	}()
	if !c.answer() {
		return
	}
	for c.await() {
		if !c.next() {
			given = true
			c.server.back.put(c.Conn, c.in)
			return
		}
		if !c.answer() {
			return
		}
	}
}

// setState tells the http.Server's ConnState, which knows the connection by its
// net.Conn.
func (c *conn) setState(state http.ConnState) {
	if changed := c.server.std.ConnState; changed != nil {
		changed(c.Conn, state)
	}
}

// await waits until something of the next request is there, and drops what clients send
// before it that end a body with a line break and do not count it: up to two line
// breaks, in whatever pieces they come, as net/http does after a POST. net/http would not
// know any more, when the connection is given back, that there was a POST. It returns
// false if the connection has ended.
func (c *conn) await() bool {
	for most := len("\r\n\r\n"); ; {
		most -= c.skipLineBreaks(most)
		if c.in.Buffered() > 0 {
			return true
		}
		if !c.wait() {
			return false
		}
	}
}

// skipLineBreaks drops at most that many bytes of line breaks of what is buffered, and
// returns how many it has dropped.
func (c *conn) skipLineBreaks(most int) (dropped int) {
	text, _ := c.in.Peek(min(c.in.Buffered(), most))
	dropped, _ = c.in.Discard(len(text) - len(bytes.TrimLeft(text, "\r\n")))
	return dropped
}

// wait waits until something comes. It returns false if the connection has ended.
func (c *conn) wait() bool {
	c.state.Store(waiting)
	if c.server.closing.Load() {
		return false
	}
	if c.idle > 0 {
		c.setReadDeadline(c.at.Add(c.idle))
	} else if !c.readBy.IsZero() {
		c.readBy = time.Time{}
		_ = c.SetReadDeadline(c.readBy)
	}
	c.setState(http.StateIdle)
	_, err := c.in.Peek(1)
	c.setState(http.StateActive)
	return err == nil && c.state.CompareAndSwap(waiting, busy)
}

// closeIfWaiting closes the connection unless a request is being served.
func (c *conn) closeIfWaiting() {
	if c.state.CompareAndSwap(waiting, closed) {
		_ = c.Close()
	}
}

// abort closes the connection and ends the request that is being served.
func (c *conn) abort() {
	_ = c.Close() // first, so that no answer is sent to a request that was given up
	c.cancel()
}

// next reads the head of the next request into c.req. It returns false, with nothing
// of the request read, if that is not simple.
func (c *conn) next() bool {
	text, _ := c.in.Peek(c.in.Buffered())
	size, ok := c.head.parse(text)
	if !ok {
		return false
	}
	_, _ = c.in.Discard(size) // all of it is buffered
	h := &c.head
	c.url = url.URL{Path: h.path}
	*c.req = *c.blank
	c.req.RequestURI, c.req.Host, c.req.Header = h.path, h.host, h.header
	c.req.ContentLength, c.body.left = int64(h.length), h.length
	return true
}

// answer has the request answered. It returns false if the connection cannot be used
// any more.
func (c *conn) answer() bool {
	c.out.begin()
	c.server.handler.ServeHTTP(&c.out, c.req)
	var err error
	if c.body.left > 0 {
		_, err = io.Copy(io.Discard, &c.body)
	}
	last := err != nil || c.server.closing.Load()
	c.at = time.Now()
	if within := c.server.std.WriteTimeout; within > 0 && c.out.by.IsZero() {
		c.out.by = c.at.Add(within)
	}
	c.setWriteDeadline(c.out.by)
	return c.out.send(c.Conn, c.at, last) == nil && !last
}

// setReadDeadline sets the deadline, unless the one that is set will do.
func (c *conn) setReadDeadline(by time.Time) {
	if c.readBy.Before(by) || c.readBy.Sub(by) > slack {
		c.readBy = by.Add(slack)
		_ = c.SetReadDeadline(c.readBy)
	}
}

// setWriteDeadline does the same; the zero time stands for none.
func (c *conn) setWriteDeadline(by time.Time) {
	switch {
	case by.IsZero() && c.writeBy.IsZero():
		return
	case by.IsZero():
		c.writeBy = by
	case c.writeBy.Before(by) || c.writeBy.Sub(by) > slack:
		c.writeBy = by.Add(slack)
	default:
		return
	}
	_ = c.SetWriteDeadline(c.writeBy)
}

// A body is that of the request that is being served.
type body struct {
	conn *conn
	left int       // bytes that were announced and not read
	by   time.Time // when the next Read must have something; zero: as the connection has it
}

// Read reads what comes next. Like net/http's, it returns io.ErrUnexpectedEOF if the
// connection ends before the body does.
func (b *body) Read(into []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if b.conn.in.Buffered() == 0 && !b.by.IsZero() {
		b.conn.readBy = b.by
		_ = b.conn.SetReadDeadline(b.by)
	}
	n, err := b.conn.in.Read(into[:min(len(into), b.left)])
	b.left -= n
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close does nothing: what is left of a body is read before the answer.
func (b *body) Close() error { return nil }
