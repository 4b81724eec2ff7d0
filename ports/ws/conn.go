package ws

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A conn is a session's hijacked connection. Melody and its WebSocket library read from
// it, and write nothing: that is what the session's writer does. It adds what they lack:
//
//   - bytes that came together with the handshake are read (unread);
//   - the client's frames are checked before the library reads them (frames);
//   - the close frame reaches the client even if the client still sends (finish).
type conn struct {
	net.Conn
	client *client
	stall  time.Duration // a write fails after this time without progress
	breach func(*breach) // called when the client's frames break a rule

	unread []byte // bytes that came with the handshake; only the reader uses it
	frames frames // only the reader uses it
	late   int    // bytes read since closing; only the reader uses it

	deadline time.Time // the write deadline that is set; only the writer uses it

	closing atomic.Bool
	mu      sync.Mutex // guards what follows, and closing while it is set
	closeAt time.Time  // when the time of closeBy is over
}

// chunk is how many bytes are written before the deadline is moved on.
const chunk = 32 << 10

// raw returns the connection's descriptor for writes that do not block. It returns nil
// for connections that are more than a socket: on those, Write is the only way to write.
func (c *conn) raw() syscall.RawConn {
	// Asking for an interface would not do: a connection that encrypts may embed a
	// *net.TCPConn, and would be passed by.
	var raw syscall.RawConn
	var err error
	switch socket := c.Conn.(type) {
	case *net.TCPConn:
		raw, err = socket.SyscallConn()
	case *net.UnixConn:
		raw, err = socket.SyscallConn()
	}
	if err != nil || !canWriteNow {
		return nil
	}
	return raw
}

// Read returns what the client sends, as long as its frames break no rule.
//
// Idle sessions wait in this method, and one more call between it and the system's
// read would double the stack that each of them holds. So nothing may wrap the read:
// the bytes are inspected after it.
func (c *conn) Read(p []byte) (n int, err error) {
	if len(c.unread) > 0 {
		n = copy(p, c.unread)
		c.unread = c.unread[n:]
	} else {
		c.unread = nil
		n, err = c.Conn.Read(p)
	}
	if refused := c.inspect(p[:n]); refused != nil {
		return 0, refused
	}
	return n, err
}

// inspect looks at bytes that were read. It returns an error if nothing more is to be
// read.
func (c *conn) inspect(p []byte) error {
	if c.closing.Load() {
		if c.late += len(p); c.late > maxLate {
			return errStillSending
		}
	}
	if b := c.frames.follow(p); b != nil {
		c.breach(b)
		return b
	}
	return nil
}

// maxLate is how many bytes are read from a client after its session was closed. They
// are read so that the client sees the close code (see finish), and then ignored, so
// there has to be an end.
const maxLate = 1 << 20

var errStillSending = errors.New("ws: the session is closed, and the client goes on sending")

// Write, Close and deadlines of writes are for the session alone. What the library
// calls them for is nothing that the client is sent: the answer to a handshake that is
// answered, and the close message that ends melody's write pump (see client.open).
func (c *conn) Write(p []byte) (int, error) { return len(p), nil }

// Close does nothing, see Write.
func (c *conn) Close() error { return nil }

// SetWriteDeadline does nothing, see Write.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline does nothing, see Write. Nor is there anything to clear for reads, which
// get a deadline of their own when the library begins to read.
func (c *conn) SetDeadline(time.Time) error { return nil }

// write writes p in chunks, and blocks. Each chunk that is written moves the deadline
// on, so that a slow client has time as long as there is progress. Only the writer
// calls it.
func (c *conn) write(p []byte) error {
	for len(p) > 0 {
		if err := c.extend(time.Now()); err != nil {
			return err
		}
		n, err := c.Conn.Write(p[:min(chunk, len(p))])
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// extend moves the write deadline, but only if it would move by more than a second,
// since to move it costs a tenth of what a write costs.
func (c *conn) extend(now time.Time) error {
	slack := min(time.Second, c.stall/8)
	t := now.Add(c.stall)
	if t.Sub(c.deadline) <= slack {
		return nil
	}
	c.deadline = t
	return c.Conn.SetWriteDeadline(t)
}

// closeWrite ends the sending side, after the close frame. If bytes of the client were
// unread when the whole connection is closed, the system would send a reset, and the
// client would never see the close code.
func (c *conn) closeWrite() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = c.Conn.Close()
}

// SetReadDeadline does nothing once the session is closing. Melody calls it for each
// pong, which must not prolong the closing.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing.Load() {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// closeBy bounds the time that is left for the connection. Only the first call counts.
func (c *conn) closeBy(wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing.Load() {
		c.closeAt = time.Now().Add(wait)
		c.closing.Store(true)
		_ = c.Conn.SetReadDeadline(c.closeAt)
	}
}

// finish closes the connection. After closeBy it reads before what the client still
// sends, and waits until the close frame is written, both for the time of closeBy at
// most. A client that has sent a close frame sends nothing more.
func (c *conn) finish(written <-chan struct{}, clientClosed bool) {
	if c.closing.Load() {
		if !clientClosed {
			_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, maxLate))
		}
		over := time.NewTimer(time.Until(c.closeAt))
		select {
		case <-written:
		case <-over.C:
		}
		over.Stop()
	}
	_ = c.Conn.Close()
}
