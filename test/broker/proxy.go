package broker

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// A Proxy forwards connections from clients to a server on 127.0.0.1. It can
// swallow what is sent, without closing connections, and it can cut them. It is
// safe for concurrent use.
type Proxy struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu         sync.Mutex
	swallowing bool               // guarded by mu
	only       []byte             // swallow only links whose client has sent this; nil: all; guarded by mu
	links      map[*link]struct{} // guarded by mu
	cut        bool               // guarded by mu
	ended      bool               // guarded by mu
}

// A link is a client's connection and the one to the server. Once it has
// swallowed something it stays dead, since bytes are missing.
type link struct {
	client, server net.Conn
	sent           []byte // what the client has sent, up to maxSent; guarded by the Proxy's mu
	dead           bool   // guarded by the Proxy's mu
}

// Goroutines names the functions in which this package's goroutines run, for checks
// for goroutines that are left behind. There is one for each process while it runs. Those
// of a Proxy's connection outlive it for a moment, and those of a dead link live until the
// other side closes it.
var Goroutines = []string{
	"github.com/fanfarebus/fanfare/test/broker.(*process).wait",
	"github.com/fanfarebus/fanfare/test/broker.(*Proxy).accept",
	"github.com/fanfarebus/fanfare/test/broker.(*Proxy).copy",
}

// maxSent is how many of the first bytes of a client are kept for SwallowWho.
const maxSent = 1 << 10

// NewProxy starts a proxy to host:port, which ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p, err := newProxy()
	if err != nil {
		t.Fatalf("broker: proxy: %v", err)
	}
	t.Cleanup(p.close)
	p.start(target)
	return p
}

// newProxy makes a proxy that has an address and does not accept yet.
func newProxy() (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &Proxy{listener: l, links: make(map[*link]struct{})}, nil
}

func (p *Proxy) start(target string) {
	p.target = target
	p.running.Go(p.accept)
}

// Addr returns the proxy's own host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL returns the broker's URL through the proxy.
func (p *Proxy) URL(scheme string) string { return scheme + "://" + p.Addr() + "/0" }

// Swallow makes all connections, new ones included, swallow everything until
// Pass.
func (p *Proxy) Swallow() { p.swallow(nil) }

// SwallowWho makes only those connections swallow everything on which the client
// has sent the given bytes, or sends them from now on.
func (p *Proxy) SwallowWho(sent string) { p.swallow([]byte(sent)) }

func (p *Proxy) swallow(only []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallowing, p.only = true, only
	for l := range p.links {
		l.dead = l.dead || bytes.Contains(l.sent, only)
	}
}

// Pass lets new connections pass. Connections that have swallowed something stay
// dead.
func (p *Proxy) Pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallowing = false
}

// Cut closes all connections, and every new one at once, until Mend.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for l := range p.links {
		l.close()
	}
}

// Mend lets new connections pass again.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

func (p *Proxy) isCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.isCut() {
			_ = client.Close()
			continue
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &link{client: client, server: server}
		if !p.add(l) {
			l.close()
			return
		}
		p.running.Go(func() { p.copy(l, server, client, true) })
		p.running.Go(func() { p.copy(l, client, server, false) })
	}
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	l.dead = p.swallowing && p.only == nil
	p.links[l] = struct{}{}
	if p.cut { // Cut was called since accept has looked
		l.close()
	}
	return true
}

// copy copies until one side closes. If the link is dead, the other side is not
// told.
func (p *Proxy) copy(l *link, to io.Writer, from io.Reader, fromClient bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !p.swallows(l, buffer[:n], fromClient) {
			if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
				p.drop(l)
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) swallows(l *link, b []byte, fromClient bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if room := maxSent - len(l.sent); fromClient && room > 0 {
		l.sent = append(l.sent, b[:min(room, len(b))]...)
	}
	l.dead = l.dead || p.swallowing && bytes.Contains(l.sent, p.only)
	return l.dead
}

func (p *Proxy) drop(l *link) {
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
	l.close()
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.ended = true
	for l := range p.links {
		l.close()
	}
	p.mu.Unlock()
	p.running.Wait()
}
