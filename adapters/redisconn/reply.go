package redisconn

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

const (
	// maxBulk is the longest string that a reply may contain, in bytes. It is
	// Redis's own default limit (proto-max-bulk-len).
	maxBulk = 512 << 20
	// maxArray is the most elements that an array in a reply may have.
	maxArray = 1 << 24
)

// errProtocol marks a reply that RESP2 does not allow, or that does not belong to
// the command.
var errProtocol = errors.New("redis answered something unexpected")

// Array reads the head of an array and returns how many elements follow. The nil
// array has -1.
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

// Bulk reads a string, a status or a number, and appends its text to dst. It
// appends nothing for the nil string.
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

// Text reads a string, a status or a number, and returns it as text.
func (c *Conn) Text() (string, error) {
	b, err := c.Bulk(nil)
	return string(b), err
}

// Texts reads an array of strings. It returns nil for nil.
func (c *Conn) Texts() ([]string, error) {
	kind, n, _, err := c.readHead()
	switch {
	case err != nil:
		return nil, err
	case n < 0 && (kind == '*' || kind == '$'):
		return nil, nil
	case kind != '*':
		return nil, fmt.Errorf("%w: %q instead of an array", errProtocol, kind)
	}
	texts := []string{}
	for range n {
		text, err := c.Text()
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
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

// Skip reads one whole reply, however deeply nested, and drops it. If the reply is
// or contains an [Error], Skip returns that error; the Conn stays usable.
func (c *Conn) Skip() error {
	var refusal error
	for left := 1; left > 0; left-- {
		kind, n, _, err := c.readHead()
		switch {
		case isErrorReply(err):
			refusal = err
		case err != nil:
			return err
		case kind == '*':
			left += max(n, 0)
		case kind == '$' && n >= 0:
			if _, err := c.in.Discard(n + 2); err != nil {
				return connError(err)
			}
		}
	}
	return refusal
}

// isErrorReply reports whether err is or wraps an [Error].
func isErrorReply(err error) bool {
	if err == nil {
		return false // without the allocation that a target of errors.As needs
	}
	var answer Error
	return errors.As(err, &answer)
}

// expectOK reads n replies, each of which must be OK.
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

// readHead reads the first line of a reply. For an array and a string, n is the
// length, -1 for nil. For a status and a number, line is the text, valid until
// the next read. An error reply is returned as an Error.
func (c *Conn) readHead() (kind byte, n int, line []byte, err error) {
	line, err = c.in.ReadSlice('\n')
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

// readBody reads a string of n bytes and the line break behind it, and appends
// the string to dst.
func (c *Conn) readBody(dst []byte, n int) ([]byte, error) {
	if n < 0 {
		return dst, nil
	}
	// The server may have announced more than it will ever send. So memory is
	// allocated for what arrives, a MiB at a time, and not for the whole length.
	for left := n; left > 0; {
		part, at := min(left, 1<<20), len(dst)
		dst = slices.Grow(dst, part)[:at+part]
		if _, err := io.ReadFull(c.in, dst[at:]); err != nil {
			return dst[:at], connError(err)
		}
		left -= part
	}
	end, err := c.in.Peek(2)
	if err != nil {
		return dst, connError(err)
	}
	if end[0] != '\r' || end[1] != '\n' {
		return dst, fmt.Errorf("%w: a string without end", errProtocol)
	}
	_, err = c.in.Discard(2)
	return dst, err
}

// parseLength reads the length of a string or an array: -1 to limit.
func parseLength(line []byte, limit int) (int, error) {
	n, sign := 0, 1
	if len(line) > 0 && line[0] == '-' {
		sign, line = -1, line[1:]
	}
	for _, d := range line {
		if d < '0' || d > '9' || n > limit {
			return 0, fmt.Errorf("%w: length %q", errProtocol, clip(line))
		}
		n = n*10 + int(d-'0')
	}
	if n *= sign; len(line) == 0 || n < -1 || n > limit {
		return 0, fmt.Errorf("%w: length %d", errProtocol, n)
	}
	return n, nil
}

// clip shortens what an error message quotes.
func clip(b []byte) []byte { return b[:min(len(b), 64)] }
