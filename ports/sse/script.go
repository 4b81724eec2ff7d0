package sse

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
)

// A systemCursor is the cursor of a session in one system: the client has been written
// everything up to it.
type systemCursor struct {
	of    *session.Attachment
	token []byte // the cursor as text; empty while it is not known
}

// A script turns a session's items into events. Only the goroutine that serves the
// session uses it.
type script struct {
	cursors []systemCursor
	moved   bool          // a cursor has changed since the last id
	retry   time.Duration // to be written with the next event; 0 for nothing
	pad     bool          // padding is to follow the next event
}

func newScript(all []*session.Attachment, retry time.Duration, pad bool) *script {
	s := &script{retry: retry, pad: pad}
	for _, a := range all {
		c := systemCursor{of: a}
		if at := a.Cursor(); !at.IsZero() {
			c.token, s.moved = at.Append(nil), true
		}
		s.cursors = append(s.cursors, c)
	}
	return s
}

// add appends an event. A cursor without an op waits for the next event, or for settle.
func (s *script) add(b []byte, i item) []byte {
	if i.cursor != nil {
		s.move(i.of, i.cursor)
		return b
	}
	if token := session.CursorIn(i.op); i.of != nil && token != nil {
		s.move(i.of, token)
	}
	if i.retry > 0 {
		s.retry = i.retry
	}
	b = s.head(b, "")
	b = appendData(b, i.op)
	if s.pad {
		b, s.pad = append(b, padding...), false
	}
	return b
}

// settle appends an event with an id and no data, if a cursor has changed since the
// last id.
func (s *script) settle(b []byte) []byte {
	if !s.moved {
		return b
	}
	return append(s.head(b, ""), '\n')
}

// end appends the farewell. If the client is not to come back, its id carries the mark.
func (s *script) end(b []byte, f *farewell) []byte {
	if f.retry > 0 {
		s.retry = f.retry
	}
	mark := ""
	if f.stop {
		mark = stopMark + strconv.Itoa(f.code)
	}
	return appendData(s.head(b, mark), f.op)
}

// stopMark begins the part of an id which says that the client is not to come back by
// itself. It cannot stand in the name of a system or in a cursor.
const stopMark = "!"

// cutMark returns an id without the mark, and whether it had one.
func cutMark(id string) (resume string, stop bool) {
	resume, _, stop = strings.Cut(id, stopMark)
	return resume, stop
}

// move changes the cursor in a system.
func (s *script) move(of *session.Attachment, token []byte) {
	for i := range s.cursors {
		if c := &s.cursors[i]; c.of == of {
			c.token, s.moved = append(c.token[:0], token...), true
		}
	}
}

// head appends the lines that come before an event's data: retry if it is to be
// written, and the id if a cursor has changed or there is a mark.
func (s *script) head(b []byte, mark string) []byte {
	if s.retry > 0 {
		b = append(b, "retry: "...)
		b = strconv.AppendInt(b, s.retry.Milliseconds(), 10)
		b, s.retry = append(b, '\n'), 0
	}
	if !s.moved && mark == "" {
		return b
	}
	s.moved = false
	b = s.appendResume(append(b, "id: "...))
	b = append(b, mark...)
	return append(b, '\n')
}

// appendResume appends the resume string of the session: system:cursor,system:cursor.
func (s *script) appendResume(b []byte) []byte {
	first := true
	for _, c := range s.cursors {
		if len(c.token) == 0 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, c.of.System().String()...)
		b = append(b, ':')
		b = append(b, c.token...)
	}
	return b
}

// appendData appends an op as an event's data, and ends the event. Line breaks in it
// become spaces, which is the same in JSON, where they can only stand between tokens.
// Otherwise a message could write lines of the protocol itself.
func appendData(b, op []byte) []byte {
	b = append(b, "data: "...)
	start := len(b)
	b = append(b, op...)
	blank(b[start:], '\r')
	blank(b[start:], '\n')
	return append(b, "\n\n"...)
}

// blank replaces every c with a space.
func blank(line []byte, c byte) {
	for i := bytes.IndexByte(line, c); i >= 0; i = bytes.IndexByte(line, c) {
		line[i] = ' '
		line = line[i+1:]
	}
}

// heartbeat is a comment, which clients ignore. It keeps proxies from closing a
// connection as idle.
const heartbeat = ":\n\n"

// padding is a comment that fills the buffer of proxies that hold back up to 2 KiB.
var padding = ":" + strings.Repeat(" ", 2<<10) + "\n\n"
