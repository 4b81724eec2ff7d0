package sim

import (
	"context"
	"errors"
	"net"
	"sync"
)

// A network holds the listeners of nodes and the connections to them.
type network struct {
	mu    sync.Mutex
	nodes map[string]*listener // guarded by mu
}

func newNetwork() *network { return &network{nodes: make(map[string]*listener)} }

// listen opens a node's listener.
func (n *network) listen(node string) *listener {
	l := &listener{accept: make(chan net.Conn), closed: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[node] = l
	return l
}

// dial connects to a node.
func (n *network) dial(ctx context.Context, node string) (net.Conn, error) {
	n.mu.Lock()
	l := n.nodes[node]
	n.mu.Unlock()
	if l == nil {
		return nil, errors.New("no such node")
	}
	client, other := net.Pipe()
	server := local{other}
	select {
	case l.accept <- server:
		l.keep(server)
		return client, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A local connection comes from this machine.
type local struct{ net.Conn }

func (local) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// A listener is a net.Listener of pipes.
type listener struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex
	conns map[net.Conn]struct{} // guarded by mu
}

func (l *listener) keep(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
}

// cut drops every connection, as a crash does.
func (l *listener) cut() {
	l.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.Close()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
