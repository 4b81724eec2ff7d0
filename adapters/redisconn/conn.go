package redisconn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

const (
	bufferSize = 64 << 10
	// maxBulk is the longest string a server may send: what Redis itself
	// allows at most by default.
	maxBulk = 512 << 20
	// maxArray is the most elements of one array.
	maxArray = 1 << 24
)

// errProtocol marks a reply that is not what RESP2 or the command promises.
var errProtocol = errors.New("redis answered something unexpected")

// A Conn is one connection to a server that speaks RESP2. Commands are queued,
// flushed and answered in order. One goroutine uses it; Close may be called
// from any, more than once, and ends what is under way. After any error but an
// Error the Conn is only good for Close.
type Conn struct {
	netConn      net.Conn
	r            *bufio.Reader
	out          []byte
	replyTimeout time.Duration
	silence      time.Duration // how long the server may stay silent; mostly reply
	deadline     time.Time     // within Bound: its deadline
}

// NewConn makes a Conn of a connection on which nobody has logged in yet, and
// owns it from then on. The server may stay silent for reply where an answer
// is due, and take as long as it needs while it is answering.
func NewConn(nc net.Conn, reply time.Duration) *Conn {
	c := &Conn{netConn: nc, replyTimeout: reply, silence: reply}
	c.r = bufio.NewReaderSize(deadlineReader{c}, bufferSize)
	return c
}

// deadlineReader reads from a Conn's connection for as long as its patience lasts.
type deadlineReader struct{ c *Conn }

func (i deadlineReader) Read(b []byte) (int, error) {
	if err := i.c.netConn.SetReadDeadline(i.c.deadlineIn(i.c.silence)); err != nil {
		return 0, err
	}
	return i.c.netConn.Read(b)
}

// Close closes the connection at once. A second time it does nothing.
func (c *Conn) Close() error {
	nc := c.netConn
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn() // TLS would wait for its goodbye to be taken
	}
	if err := nc.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the connection to redis: %w", err)
	}
	return nil
}

// Bind lets everything up to the call of release end with ctx.
func (c *Conn) Bind(ctx context.Context) (release func()) {
	c.deadline, _ = ctx.Deadline()
	stop := context.AfterFunc(ctx, func() {
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) { // that is the deadlines' work
			_ = c.Close()
		}
	})
	return func() {
		stop()
		c.deadline = time.Time{}
	}
}

// deadlineIn is until when something that may take d may take.
func (c *Conn) deadlineIn(d time.Duration) time.Time {
	t := time.Now().Add(d)
	if !c.deadline.IsZero() && c.deadline.Before(t) {
		return c.deadline
	}
	return t
}

// Queue adds a command to what the next Flush sends.
func (c *Conn) Queue(args ...string) {
	c.out = append(c.out, '*')
	c.out = strconv.AppendInt(c.out, int64(len(args)), 10)
	for _, a := range args {
		c.out = append(c.out, "\r\n$"...)
		c.out = strconv.AppendInt(c.out, int64(len(a)), 10)
		c.out = append(c.out, "\r\n"...)
		c.out = append(c.out, a...)
	}
	c.out = append(c.out, "\r\n"...)
}

// Flush sends what is queued. The server has the reply timeout to take it.
func (c *Conn) Flush() error {
	if err := c.netConn.SetWriteDeadline(c.deadlineIn(c.replyTimeout)); err != nil {
		return connError(err)
	}
	_, err := c.netConn.Write(c.out)
	c.out = c.out[:0]
	return connError(err)
}

// Wait waits until a reply begins to arrive, for at most d, and says whether
// it did.
func (c *Conn) Wait(d time.Duration) (bool, error) {
	c.silence = d
	_, err := c.r.Peek(1)
	c.silence = c.replyTimeout
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return err == nil, connError(err)
}

// Buffered says whether (the beginning of) a reply has arrived already.
func (c *Conn) Buffered() bool { return c.r.Buffered() > 0 }

// Array reads the head of an array and returns how many elements follow, -1
// for the nil array.
func (c *Conn) Array() (int, error) {
	kind, n, _, err := c.readHead()
	if err != nil {
		return 0, err
	}
	if kind != '*' {
		return 0, fmt.Errorf("%w: %q instead of an array", errProtocol, kind)
	}
	return n, nil
}

// Bulk reads a string and appends it to dst. The nil string is nothing.
func (c *Conn) Bulk(dst []byte) ([]byte, error) {
	kind, n, line, err := c.readHead()
	if err != nil {
		return dst, err
	}
	switch kind {
	case '+', ':':
		return append(dst, line...), nil
	case '$':
		return c.readBody(dst, n)
	}
	return dst, fmt.Errorf("%w: %q instead of a string", errProtocol, kind)
}

// Text reads a string, a status or a number as text.
func (c *Conn) Text() (string, error) {
	b, err := c.Bulk(nil)
	return string(b), err
}

// Int reads a number.
func (c *Conn) Int(into *int64) error {
	text, err := c.Text()
	if err != nil {
		return err
	}
	if *into, err = strconv.ParseInt(text, 10, 64); err != nil {
		return fmt.Errorf("%w: %q instead of a number", errProtocol, text)
	}
	return nil
}

// expectOK reads n replies that must be OK.
func (c *Conn) expectOK(n int) error {
	for range n {
		text, err := c.Text()
		if err != nil {
			return err
		}
		if text != "OK" {
			return fmt.Errorf("%w: %.64q instead of OK", errProtocol, text)
		}
	}
	return nil
}

// Skip reads one whole reply and forgets it, however deep it is. If the reply
// is an Error it returns that.
func (c *Conn) Skip() error {
	var refused error
	for left := 1; left > 0; left-- {
		kind, n, _, err := c.readHead()
		if answer := Error(""); errors.As(err, &answer) {
			refused = err
			continue
		}
		switch {
		case err != nil:
			return err
		case kind == '*':
			left += max(n, 0)
		case kind == '$' && n >= 0:
			if _, err := c.r.Discard(n + 2); err != nil {
				return connError(err)
			}
		}
	}
	return refused
}

// readHead reads the first line of a reply. For arrays and strings n is the
// length, -1 for nil; for the others line is what they say, valid until the
// next read.
func (c *Conn) readHead() (kind byte, n int, line []byte, err error) {
	line, err = c.r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			err = fmt.Errorf("%w: a line without end", errProtocol)
		}
		return 0, 0, nil, connError(err)
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return 0, 0, nil, fmt.Errorf("%w: %q", errProtocol, clip(line))
	}
	kind, line = line[0], line[1:len(line)-2]
	switch kind {
	case '-':
		return 0, 0, nil, Error(line)
	case '+', ':':
		return kind, 0, line, nil
	case '$':
		n, err = parseLength(line, maxBulk)
	case '*':
		n, err = parseLength(line, maxArray)
	default:
		err = fmt.Errorf("%w: %q", errProtocol, clip(line))
	}
	return kind, n, nil, err
}

func (c *Conn) readBody(dst []byte, n int) ([]byte, error) {
	if n < 0 {
		return dst, nil
	}
	// Most of it may not have come yet and may never come: take memory for
	// what arrives, not for what is announced.
	for left := n; left > 0; {
		part, at := min(left, 1<<20), len(dst)
		dst = slices.Grow(dst, part)[:at+part]
		if _, err := io.ReadFull(c.r, dst[at:]); err != nil {
			return dst[:at], connError(err)
		}
		left -= part
	}
	end, err := c.r.Peek(2)
	if err != nil {
		return dst, connError(err)
	}
	if end[0] != '\r' || end[1] != '\n' {
		return dst, fmt.Errorf("%w: a string without end", errProtocol)
	}
	_, err = c.r.Discard(2)
	return dst, err
}

func parseLength(line []byte, most int) (int, error) {
	n, sign := 0, 1
	if len(line) > 0 && line[0] == '-' {
		sign, line = -1, line[1:]
	}
	for _, d := range line {
		if d < '0' || d > '9' || n > most {
			return 0, fmt.Errorf("%w: length %q", errProtocol, clip(line))
		}
		n = n*10 + int(d-'0')
	}
	if n *= sign; len(line) == 0 || n < -1 || n > most {
		return 0, fmt.Errorf("%w: length %d", errProtocol, n)
	}
	return n, nil
}

// connError turns the ends of a connection into words.
func connError(err error) error {
	switch {
	case errors.Is(err, net.ErrClosed):
		return domain.ErrClosed
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("redis closed the connection")
	}
	return err
}

func clip(b []byte) []byte { return b[:min(len(b), 64)] }
