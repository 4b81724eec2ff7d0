//go:build unix

package ws

import "syscall"

const canWriteNow = true

// A nowWriter writes to sockets without ever waiting. It is for one goroutine.
type nowWriter struct {
	p   []byte
	n   int
	err error
	do  func(fd uintptr) // write, made once so that no call allocates
}

func newNowWriter() *nowWriter {
	w := &nowWriter{}
	w.do = w.write
	return w
}

// writeNow writes as much of p as the socket takes at once, and returns how much that
// was. The socket must have no other writer.
//
// It uses Control, and not Write, since it needs nothing of what Write does beside: to
// wait for other writers, and to look at the deadline.
func (w *nowWriter) writeNow(socket syscall.RawConn, p []byte) (int, error) {
	w.p = p
	err := socket.Control(w.do)
	w.p = nil
	if err != nil {
		return 0, err
	}
	return w.n, w.err
}

func (w *nowWriter) write(fd uintptr) {
	for {
		w.n, w.err = syscall.Write(int(fd), w.p)
		switch w.err {
		case nil:
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			w.n, w.err = 0, nil
		}
		return
	}
}
