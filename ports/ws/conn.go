package ws

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A conn is a session's hijacked connection. It adds what melody and its WebSocket
// library lack:
//
//   - several frames leave in one write (putAhead);
//   - a write deadline means that a write makes no progress, and is not moved at each
//     write (SetWriteDeadline);
//   - bytes that came together with the handshake are read (unread);
//   - the client's frames are checked before the library reads them (frames);
//   - the close frame reaches the client even if the client still sends (Close).
type conn struct {
	net.Conn
	stall  time.Duration // a write fails after this time without progress
	breach func(*breach) // called when the client's frames break a rule

	unread []byte // bytes that came with the handshake; only the reader uses it
	frames frames // only the reader uses it
	late   int    // bytes read since closing; only the reader uses it

	deadline time.Time // the write deadline that is set; only the writer uses it

	mu      sync.Mutex
	ahead   *[]byte // complete frames that go out before the next write; guarded by mu
	closing bool    // closeBy was called, and has set the read deadline; guarded by mu

	stalled      atomic.Bool // a write ran into its deadline
	clientClosed atomic.Bool // the client has sent a close frame
}

// chunk is how many bytes are written before the deadline is moved on.
const chunk = 32 << 10

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
	if c.isClosing() {
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
// are read so that the client sees the close code (see Close), and then ignored, so
// there has to be an end.
const maxLate = 1 << 20

var errStillSending = errors.New("ws: the session is closed, and the client goes on sending")

// Write writes the frames that putAhead has left, and then p. The WebSocket library
// makes one call at a time.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	ahead := c.ahead
	c.ahead = nil
	c.mu.Unlock()
	if ahead == nil {
		return c.write(p)
	}
	defer buffers.put(ahead)
	joined := len(p) <= chunk
	if joined {
		*ahead = append(*ahead, p...)
	}
	if _, err := c.write(*ahead); err != nil || joined {
		return len(p), err
	}
	return c.write(p)
}

// write writes p in chunks. Each chunk that is written moves the deadline on, so that
// a slow client has time as long as there is progress.
func (c *conn) write(p []byte) (n int, err error) {
	for {
		part := p[n:min(n+chunk, len(p))]
		m, err := c.Conn.Write(part)
		if n += m; err != nil || n == len(p) {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.stalled.Store(true)
			}
			return n, err
		}
		if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			return n, err
		}
	}
}

// putAhead leaves complete frames for the next Write to send before its own. The
// caller must give melody something to write next.
func (c *conn) putAhead(frames *[]byte) {
	c.mu.Lock()
	c.ahead = frames
	c.mu.Unlock()
}

// SetDeadline sets both deadlines. The WebSocket library calls it around the handshake
// only.
func (c *conn) SetDeadline(t time.Time) error {
	c.deadline = t
	return c.Conn.SetDeadline(t)
}

// SetWriteDeadline moves the connection's deadline only if it would move by more than
// a second, since to move it costs a tenth of what a write costs.
func (c *conn) SetWriteDeadline(t time.Time) error {
	slack := min(time.Second, c.stall/8)
	if d := t.Sub(c.deadline); !t.IsZero() && -slack <= d && d <= slack {
		return nil
	}
	c.deadline = t
	return c.Conn.SetWriteDeadline(t)
}

// SetReadDeadline does nothing once the session is closing. Melody calls it for each
// pong, which must not prolong the closing.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// closeBy bounds the time that is left for the connection. From now on Close ends
// only the sending side. Only the first call counts.
func (c *conn) closeBy(wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.closing = true
		_ = c.Conn.SetReadDeadline(time.Now().Add(wait))
	}
}

func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// Close closes the connection or, after closeBy, its sending side only. If bytes of
// the client were unread when the whole connection is closed, the system would send a
// reset, and the client would never see the close code.
func (c *conn) Close() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || !c.isClosing() {
		return c.Conn.Close()
	}
	_ = c.Conn.SetWriteDeadline(time.Now()) // else a stuck write would block TLS's close_notify
	return half.CloseWrite()
}

// finish reads what the client still sends, until that ends or the time of closeBy is
// over, and closes the connection.
func (c *conn) finish() {
	if c.isClosing() && !c.clientClosed.Load() {
		_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, maxLate))
	}
	_ = c.Conn.Close()
}

// buffers holds the buffers in which batches are put together.
var buffers bufferPool

type bufferPool struct{ pool sync.Pool }

func (b *bufferPool) take() *[]byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, 0, 4096)
	return &p
}

func (b *bufferPool) put(p *[]byte) {
	if cap(*p) <= 2*batchBytes {
		*p = (*p)[:0]
		b.pool.Put(p)
	}
}
