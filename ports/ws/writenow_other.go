//go:build !unix

package ws

import (
	"errors"
	"syscall"
)

// canWriteNow is false where sockets are not written with write(2). There each session
// that has something to send gets a goroutine: see client.writeOut.
const canWriteNow = false

type nowWriter struct{}

func newNowWriter() *nowWriter { return &nowWriter{} }

func (*nowWriter) writeNow(syscall.RawConn, []byte) (int, error) {
	return 0, errors.ErrUnsupported
}
