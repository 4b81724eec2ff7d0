// Package pipes is a network in memory. Its connections need no ports, can be cut,
// and work in a testing/synctest bubble.
package pipes

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// A Network holds the listeners of nodes, by name. It is safe for concurrent
// use.
type Network struct {
	mu    sync.Mutex
	nodes map[string]*Listener // guarded by mu
}

// New returns a network without nodes.
func New() *Network { return &Network{nodes: make(map[string]*Listener)} }

// Listen opens a node's listener, and replaces the one that it had before.
func (n *Network) Listen(node string) *Listener {
	l := &Listener{accept: make(chan net.Conn), closed: make(chan struct{}), conns: make(map[*server]struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[node] = l
	return l
}

// Dial connects to a node. A node that does not listen refuses.
func (n *Network) Dial(ctx context.Context, node string) (net.Conn, error) {
	n.mu.Lock()
	l := n.nodes[node]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("dial %s: no such node", node)
	}
	client, other := net.Pipe()
	s := &server{Conn: other, of: l}
	l.keep(s)
	select {
	case l.accept <- s:
		return client, nil
	case <-l.closed:
		s.Close()
		return nil, fmt.Errorf("dial %s: %w", node, syscall.ECONNREFUSED)
	case <-ctx.Done():
		s.Close()
		return nil, fmt.Errorf("dial %s: %w", node, ctx.Err())
	}
}

// A server is a node's end of a connection. The client seems to be on this machine.
type server struct {
	net.Conn
	of *Listener
}

func (*server) RemoteAddr() net.Addr { return here }

func (s *server) Close() error {
	s.of.forget(s)
	return s.Conn.Close()
}

var here = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

// A Listener is a node's net.Listener. It is safe for concurrent use.
type Listener struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex
	conns map[*server]struct{} // open; guarded by mu
}

var _ net.Listener = (*Listener)(nil)

func (l *Listener) keep(s *server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[s] = struct{}{}
}

func (l *Listener) forget(s *server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, s)
}

// Cut closes the listener and drops every connection at once, as a crash does.
func (l *Listener) Cut() {
	l.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.conns {
		s.Conn.Close()
	}
}

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close refuses further connections. Existing ones stay open.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns an address of this machine on which nobody listens.
func (l *Listener) Addr() net.Addr { return here }
