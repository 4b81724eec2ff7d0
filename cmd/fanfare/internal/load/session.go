package load

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// A session is one client: its connection and what it has received. The run's mu
// guards it.
type session struct {
	run     *run
	index   int
	system  int            // the number of the system that it is attached to
	conn    io.WriteCloser // nil if it has none
	frames  frameReader
	checker checker
	ready   bool   // it was greeted; a plain client is when it is connected
	cursor  string // the last one that was told outside of this load's messages
	dialed  int64  // when it began to connect, in nanoseconds since the load began
}

// receive takes bytes that came from the server. An error ends the connection.
func (s *session) receive(p []byte) error {
	s.run.now = s.run.since()
	return s.frames.feed(p, s)
}

// take takes a message or a control frame.
func (s *session) take(op byte, payload []byte) error {
	switch op {
	case opPing:
		_, err := s.conn.Write(appendFrame(nil, opPong, payload))
		return err
	case opPong:
		return nil
	case opClose:
		// The answer may not arrive: the server has said all that matters.
		_, _ = s.conn.Write(appendFrame(nil, opClose, payload))
		return closedBy(payload)
	}
	found := false
	if s.run.cfg.Protocol == Plain {
		found = s.message(payload)
		payload = nil
	}
	for len(payload) > 0 { // ops, each on a line of its own
		line, rest, _ := bytes.Cut(payload, []byte("\n"))
		payload = rest
		if s.message(line) {
			found = true
		} else {
			s.notice(line)
		}
	}
	if found {
		s.run.frames++
	}
	return nil
}

// closedBy says what is in a close frame.
func closedBy(payload []byte) error {
	if len(payload) < 2 {
		return fmt.Errorf("the server closed the connection")
	}
	return fmt.Errorf("the server closed the connection: %d %s", binary.BigEndian.Uint16(payload), payload[2:])
}

// message accounts for a message. It reports whether b was one of this load.
func (s *session) message(b []byte) bool {
	r := s.run
	st, ok := r.format.find(b)
	if !ok {
		return false
	}
	sequence, ok := r.sequence(s, st.to)
	if !ok {
		r.misdelivered++
		r.fault("client %d received message %d of %s", s.index, st.n, r.name(st.to))
		return true
	}
	isNew, fault := s.checker.see(sequence, st.n)
	if fault != "" {
		r.fault("client %d: of %s, %s", s.index, r.name(st.to), fault)
	}
	if isNew {
		r.arrive(s, st)
	}
	return true
}

// An op is what a notice of fanfare.v1.json may hold, as far as it matters here.
type op struct {
	Op      string
	System  string
	Cursor  string
	Reason  string
	Systems map[string]struct{ Cursor string }
}

// notice reads everything that is no message of this load.
func (s *session) notice(line []byte) {
	var o op
	if json.Unmarshal(line, &o) != nil {
		return
	}
	cursor := o.Cursor
	switch o.Op {
	case "hello":
		for _, system := range o.Systems {
			if s.cursor == "" { // else it is resuming, and keeps its own
				cursor = system.Cursor
			}
		}
		s.run.greet(s)
	case "gap":
		s.checker.gap()
		s.run.fault("client %d was told a gap: %s", s.index, o.Reason)
	}
	if cursor != "" {
		s.cursor = cursor
	}
}
