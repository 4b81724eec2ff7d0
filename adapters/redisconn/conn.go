package redisconn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// bufferSize is the size of a connection's read buffer, and of the write buffer
// of a client that publishes.
const bufferSize = 64 << 10

// A Conn is one connection to a server that speaks RESP2 (the [Redis
// serialization protocol], version 2). Its user queues commands with [Conn.Queue],
// sends them with [Conn.Flush], and reads the replies in the order of the
// commands.
//
// One goroutine reads. It also sends, unless others do; then they hold a lock while
// they queue and flush. [Conn.Close] may be called from any goroutine, and more than
// once; it ends a read or a write that is under way. After any error except an
// [Error], a Conn can only be closed.
//
// [Redis serialization protocol]: https://redis.io/docs/latest/develop/reference/protocol-spec/
type Conn struct {
	netConn net.Conn
	target  target // the server
	login   login  // to the server
	in      *bufio.Reader
	out     []byte // the commands that the next Flush sends

	replyTimeout time.Duration
	silence      time.Duration // how long a read may bring nothing: replyTimeout, but other in Wait
	deadline     time.Time     // of the context that Bind was given; zero without one
}

// NewConn makes a [Conn] of a network connection that is not logged in yet. The
// Conn owns it from then on. Where a reply is due, the server may stay silent for
// replyTimeout. A reply that keeps arriving may take as long as it needs.
func NewConn(nc net.Conn, replyTimeout time.Duration) *Conn {
	c := &Conn{netConn: nc, replyTimeout: replyTimeout, silence: replyTimeout}
	c.in = bufio.NewReaderSize(deadlineReader{c}, bufferSize)
	return c
}

// A deadlineReader reads from a Conn's network connection, and gives up when
// nothing arrives for as long as Conn.silence says.
type deadlineReader struct{ c *Conn }

func (r deadlineReader) Read(b []byte) (int, error) {
	if err := r.c.netConn.SetReadDeadline(r.c.deadlineIn(r.c.silence)); err != nil {
		return 0, err
	}
	return r.c.netConn.Read(b)
}

// Close closes the connection at once. A second call does nothing.
func (c *Conn) Close() error {
	nc := c.netConn
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn() // tls.Conn.Close would wait until its last record is written
	}
	if err := nc.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the connection to redis: %w", err)
	}
	return nil
}

// Bind makes every read and write end with ctx until the caller calls release.
func (c *Conn) Bind(ctx context.Context) (release func()) {
	c.deadline, _ = ctx.Deadline()
	stop := context.AfterFunc(ctx, func() {
		// A deadline that has passed needs no Close: reads and writes have it too.
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			_ = c.Close()
		}
	})
	return func() {
		stop()
		c.deadline = time.Time{}
	}
}

// deadlineIn returns the time in d, or the bound context's deadline if that is earlier.
func (c *Conn) deadlineIn(d time.Duration) time.Time {
	t := time.Now().Add(d)
	if !c.deadline.IsZero() && c.deadline.Before(t) {
		return c.deadline
	}
	return t
}

// Queue adds a command to those that the next [Conn.Flush] sends.
func (c *Conn) Queue(args ...string) {
	c.out = append(c.out, '*')
	c.out = strconv.AppendInt(c.out, int64(len(args)), 10)
	for _, arg := range args {
		c.out = append(c.out, "\r\n$"...)
		c.out = strconv.AppendInt(c.out, int64(len(arg)), 10)
		c.out = append(c.out, "\r\n"...)
		c.out = append(c.out, arg...)
	}
	c.out = append(c.out, "\r\n"...)
}

// Addr returns the address by which a cluster names the server; "" without a cluster.
func (c *Conn) Addr() string { return c.target.addr }

// Asking reports whether the topic for which [Masters.Open] has returned the Conn is
// just being moved to this server. Then [Conn.QueueAsking] comes before each command
// or MULTI, and [Conn.SkipAsking] before its reply.
func (c *Conn) Asking() bool { return c.target.asking }

// QueueAsking queues what must come before a command while [Conn.Asking].
func (c *Conn) QueueAsking() {
	if c.target.asking {
		c.Queue("ASKING")
	}
}

// SkipAsking reads the reply to what [Conn.QueueAsking] has queued.
func (c *Conn) SkipAsking() error {
	if c.target.asking {
		return c.expectOK(1)
	}
	return nil
}

// Flush sends the queued commands. The server must take them within the reply
// timeout.
func (c *Conn) Flush() error {
	if err := c.netConn.SetWriteDeadline(c.deadlineIn(c.replyTimeout)); err != nil {
		return connError(err)
	}
	_, err := c.netConn.Write(c.out)
	c.out = c.out[:0]
	return connError(err)
}

// Wait waits until a reply begins to arrive, but at most for d. It reports
// whether a reply has begun to arrive. That none has is no error.
func (c *Conn) Wait(d time.Duration) (bool, error) {
	c.silence = d
	_, err := c.in.Peek(1)
	c.silence = c.replyTimeout
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return err == nil, connError(err)
}

// Buffered reports whether a reply, or the beginning of one, has been received
// and not been read yet.
func (c *Conn) Buffered() bool { return c.in.Buffered() > 0 }

// connError translates the errors by which net and io report that a connection
// has ended. It leaves other errors as they are.
func connError(err error) error {
	switch {
	case errors.Is(err, net.ErrClosed):
		return domain.ErrClosed
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("redis closed the connection")
	}
	return err
}
