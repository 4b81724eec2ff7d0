package publishers

import (
	"bufio"
	"bytes"
	"net"
	"sync"
)

// A returned is a listener for connections that are given back to net/http. It is safe
// for concurrent use.
type returned struct {
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once // guards the closing of ended
}

func newReturned() *returned {
	return &returned{conns: make(chan net.Conn), ended: make(chan struct{})}
}

// put gives a connection back, with what was read of it. After Close it closes the
// connection.
func (r *returned) put(c net.Conn, in *bufio.Reader) {
	text, _ := in.Peek(in.Buffered())
	select {
	case r.conns <- &replayed{Conn: c, text: bytes.Clone(text)}:
	case <-r.ended:
		_ = c.Close()
	}
}

func (r *returned) Accept() (net.Conn, error) {
	select {
	case c := <-r.conns:
		return c, nil
	case <-r.ended:
		return nil, net.ErrClosed
	}
}

func (r *returned) Close() error {
	r.once.Do(func() { close(r.ended) })
	return nil
}

func (r *returned) Addr() net.Addr { return noAddr{} }

// noAddr is the address of a listener that has none.
type noAddr struct{}

func (noAddr) Network() string { return "returned" }
func (noAddr) String() string  { return "returned" }

// A replayed is a connection of which something was read that has to be read again.
type replayed struct {
	net.Conn
	text []byte // what is still to be read again; only Read uses it
}

func (r *replayed) Read(into []byte) (int, error) {
	if len(r.text) == 0 {
		return r.Conn.Read(into)
	}
	n := copy(into, r.text)
	if r.text = r.text[n:]; len(r.text) == 0 {
		r.text = nil
	}
	return n, nil
}

// CloseWrite lets net/http end an answer before it closes the connection, so that the
// client can read it to the end.
func (r *replayed) CloseWrite() error {
	if c, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}
