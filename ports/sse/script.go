package sse

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
)

// A place is where a session is in one system: what it has been written.
type place struct {
	of    *session.Attachment
	token []byte // of the cursor; empty while it is not known
}

// A script writes a session's events. It is its goroutine's.
type script struct {
	places []place
	moved  bool          // some place is not in an id yet
	retry  time.Duration // to be said with the next event; 0 for nothing
	pad    bool          // the next event is to be followed by padding
}

func newScript(all []*session.Attachment, retry time.Duration, pad bool) *script {
	s := &script{retry: retry, pad: pad}
	for _, a := range all {
		p := place{of: a}
		if at := a.Cursor(); !at.IsZero() {
			p.token, s.moved = at.Append(nil), true
		}
		s.places = append(s.places, p)
	}
	return s
}

// add appends an event. A place alone waits for the next event, or for settle.
func (s *script) add(b []byte, i item) []byte {
	if i.place != nil {
		s.move(i.of, i.place)
		return b
	}
	if token := session.CursorIn(i.op); i.of != nil && token != nil {
		s.move(i.of, token)
	}
	b = s.head(b, "")
	b = appendData(b, i.op)
	if s.pad {
		b, s.pad = append(b, padding...), false
	}
	return b
}

// settle appends what is left to be said of the places: an event without data.
func (s *script) settle(b []byte) []byte {
	if !s.moved {
		return b
	}
	return append(s.head(b, ""), '\n')
}

// end appends the farewell. One that is to stop the client marks the id.
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

// stopMark begins the part of an id that says that the client is not to come
// back by itself. No system or cursor has it.
const stopMark = "!"

// cutMark returns an id without the mark, and whether it had one.
func cutMark(id string) (resume string, stop bool) {
	resume, _, stop = strings.Cut(id, stopMark)
	return resume, stop
}

func (s *script) move(of *session.Attachment, token []byte) {
	for i := range s.places {
		if p := &s.places[i]; p.of == of {
			p.token, s.moved = append(p.token[:0], token...), true
		}
	}
}

// head appends the lines that come before an event's data.
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
	b = append(b, "id: "...)
	first := true
	for _, p := range s.places {
		if len(p.token) == 0 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, p.of.System().String()...)
		b = append(b, ':')
		b = append(b, p.token...)
	}
	b = append(b, mark...)
	return append(b, '\n')
}

// appendData appends an op as an event's data and ends the event. A raw line
// break would end the line, and let the op's author write lines of the
// protocol; in JSON it can only stand between tokens, where a space does.
func appendData(b, op []byte) []byte {
	b = append(b, "data: "...)
	start := len(b)
	b = append(b, op...)
	blank(b[start:], '\r')
	blank(b[start:], '\n')
	return append(b, "\n\n"...)
}

func blank(line []byte, c byte) {
	for i := bytes.IndexByte(line, c); i >= 0; i = bytes.IndexByte(line, c) {
		line[i] = ' '
		line = line[i+1:]
	}
}

// heartbeat is a comment: nobody hears it, and no proxy takes the connection
// for dead.
const heartbeat = ":\n\n"

// padding is a comment that fills the first block of proxies that hold back
// less than 2 KiB.
var padding = ":" + strings.Repeat(" ", 2<<10) + "\n\n"
