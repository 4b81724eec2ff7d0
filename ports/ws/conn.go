package ws

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A conn is a session's hijacked connection. It adds what melody and its
// WebSocket library leave out: several frames in one write, deadlines that
// mean "no progress" and are not moved at each write, bytes that came with the
// handshake, and a close that does not cut off its own last words.
type conn struct {
	net.Conn
	unread []byte        // came with the handshake; the reader's
	frames frames        // the reader's
	breach func(*breach) // ends the connection for what the client did
	late   int           // bytes read since closing; the reader's
	stall  time.Duration

	deadline time.Time // the write deadline that is set; the writer's

	mu      sync.Mutex
	ahead   *[]byte // complete frames that go out before the next write; guarded by mu
	closing bool    // the read deadline is fixed; guarded by mu

	stalled atomic.Bool // a write ran into its deadline
	done    atomic.Bool // the client has said that it closes
}

// chunk is how much is written before progress is noted.
const chunk = 32 << 10

// Read returns what the client sends, as far as that is in order. Sessions wait
// here, most of them for ever, on a stack that one more call would double.
func (c *conn) Read(p []byte) (n int, err error) {
	if len(c.unread) > 0 {
		n = copy(p, c.unread)
		c.unread = c.unread[n:]
	} else {
		c.unread = nil
		n, err = c.Conn.Read(p)
	}
	if wrong := c.judge(p[:n]); wrong != nil {
		return 0, wrong
	}
	return n, err
}

// judge says why nothing more is to be read.
func (c *conn) judge(p []byte) error {
	if c.isClosing() {
		if c.late += len(p); c.late > mostLate {
			return errStillSending
		}
	}
	if b := c.frames.see(p); b != nil {
		c.breach(b)
		return b
	}
	return nil
}

// mostLate is how much is read of a client after its session was closed, so
// that it sees the close code. To read on would be work for nothing.
const mostLate = 1 << 20

var errStillSending = errors.New("ws: the session is closed, and the client goes on sending")

// Write writes p behind the frames that were put ahead of it. The WebSocket
// library serialises its calls.
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

// putAhead leaves complete frames to the next write. There is one: the caller
// hands it to melody next.
func (c *conn) putAhead(frames *[]byte) {
	c.mu.Lock()
	c.ahead = frames
	c.mu.Unlock()
}

// SetDeadline is used around the handshake only.
func (c *conn) SetDeadline(t time.Time) error {
	c.deadline = t
	return c.Conn.SetDeadline(t)
}

// SetWriteDeadline moves the real deadline only if it is off by more than a
// second: to move it costs a tenth of a write.
func (c *conn) SetWriteDeadline(t time.Time) error {
	slack := min(time.Second, c.stall/8)
	if d := t.Sub(c.deadline); !t.IsZero() && -slack <= d && d <= slack {
		return nil
	}
	c.deadline = t
	return c.Conn.SetWriteDeadline(t)
}

// SetReadDeadline does nothing once the session is closing: a pong must not
// prolong it.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// closeBy bounds what is left of the connection. Until then Close only ends
// the sending side. The first call counts.
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

// Close closes the connection, or, after closeBy, its sending side: with bytes
// of the client still unread, the system would answer with a reset, and the
// client would never see the close code.
func (c *conn) Close() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || !c.isClosing() {
		return c.Conn.Close()
	}
	_ = c.Conn.SetWriteDeadline(time.Now()) // a write that is stuck would hold up TLS's farewell
	return half.CloseWrite()
}

// finish reads off what the client still sends, until it ends or the time of
// closeBy is over, and closes.
func (c *conn) finish() {
	if c.isClosing() && !c.done.Load() {
		_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, mostLate))
	}
	_ = c.Conn.Close()
}

// appendHeader appends the header of an unfragmented, unmasked WebSocket frame
// (RFC 6455, 5.2).
func appendHeader(dst []byte, binaryData bool, size int) []byte {
	first := byte(0x81)
	if binaryData {
		first = 0x82
	}
	switch {
	case size <= 125:
		return append(dst, first, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(size))
	}
}

// buffers holds what batches are put together in.
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
