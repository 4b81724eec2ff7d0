package load

import (
	"net"
	"time"
)

// readAlone reads a connection until it ends, with a goroutine of its own.
func readAlone(s *session, conn net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if !s.run.received(s, conn, buf[:n], err) {
			return
		}
	}
}

// received takes what one read has brought for s. It reports whether conn is still
// the connection of s.
func (r *run) received(s *session, conn net.Conn, p []byte, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.settle()
	if s.conn != (limited{conn}) {
		return false
	}
	if failed := s.receive(p); failed != nil {
		err = failed
	}
	if err != nil {
		r.drop(s, err)
	}
	return err == nil
}

// A limited connection fails when the server does not read what is written for too
// long.
type limited struct{ net.Conn }

// Write writes within the time that is allowed.
func (l limited) Write(p []byte) (int, error) {
	_ = l.SetWriteDeadline(time.Now().Add(writeTime)) // what fails, Write says, too
	return l.Conn.Write(p)
}

// writeTime is short, because the other clients wait meanwhile.
const writeTime = 100 * time.Millisecond
