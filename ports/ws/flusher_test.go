package ws_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/ws"
)

// tightSockets is a listener whose connections hold little in the system's buffers, so
// that writes do not fit soon.
type tightSockets struct{ net.Listener }

func (l tightSockets) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(4 << 10)
	}
	return c, err
}

// serveTight is serve with tightSockets.
func serveTight(t testing.TB, cfg config) *node {
	t.Helper()
	n := newNode(t, cfg)
	listener := httptest.NewUnstartedServer(n.server)
	listener.Listener = tightSockets{listener.Listener}
	listener.Start()
	n.url = "ws" + strings.TrimPrefix(listener.URL, "http")
	t.Cleanup(func() {
		n.stop()
		<-n.stopped
		listener.Close()
	})
	return n
}

// dead connects a client that reads nothing, not even hello.
func (n *node) dead(token string) {
	n.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{ws.V1}, NetDial: func(network, address string) (net.Conn, error) {
		c, err := net.Dial(network, address)
		if err == nil {
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return c, err
	}}
	conn, _, err := dialer.Dial(n.url+"/ws?systems=orders", http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = conn.Close() })
}

// fillDead sends to the dead clients until their sockets take nothing more.
func (n *node) fillDead(deaths int) {
	filler := fmt.Sprintf("%q", strings.Repeat("x", 8000))
	poll(n.t, func() bool {
		n.deliver("user:dead", "orders", filler)
		return n.server.Stats().Slow >= int64(deaths)
	})
}

// In each shard a client has stopped reading. The others get everything, in order, and
// none of them is told a gap or is closed.
func TestClientsThatStoppedReadingHoldUpNobody(t *testing.T) {
	n := serveTight(t, config{registry: session.Config{SessionsPerUser: 1000}, ws: ws.Config{Stall: time.Hour}})
	deaths := n.server.Shards()
	for range deaths {
		n.dead("dead")
	}
	poll(t, func() bool { return n.registry.Stats().Sessions == deaths }) // so each shard has one
	n.fillDead(deaths)
	var alive []*client
	for range 3 * deaths {
		alive = append(alive, n.v1("alice", "systems=orders"))
	}
	const messages = 2000
	var readers sync.WaitGroup
	for _, c := range alive {
		readers.Go(func() {
			for i := range messages {
				line, err := c.next()
				if err != nil || !strings.HasPrefix(line, `{"op":"message"`) || !strings.Contains(line, fmt.Sprintf(`{"n":%d}`, i)) {
					t.Errorf("want message %d, got %s %v", i, line, err)
					return
				}
			}
		})
	}
	for i := range messages {
		n.deliver("*", "orders", fmt.Sprintf(`{"n":%d}`, i))
	}
	readers.Wait()
	// One that has read all may count as slow until the node has heard that there is space.
	poll(t, func() bool { return n.server.Stats().Slow == int64(deaths) })
	if open := n.registry.Stats().Sessions; open != len(alive)+deaths {
		t.Errorf("%d sessions are left, want %d", open, len(alive)+deaths)
	}
}

// Pongs, messages and the close frame of a client that reads in small pieces are whole
// frames, in order.
func TestWhatDoesNotFitIsWrittenWhenItFits(t *testing.T) {
	for _, protocol := range []string{ws.V1, ws.Plain} {
		n := serveTight(t, config{ws: ws.Config{OutboxBytes: 20_000, ControlRate: 1e6}})
		c := n.raw(protocol)
		const messages = 300
		go func() {
			for i := range messages {
				n.deliver("user:alice", "chat", fmt.Sprintf(`"%d %s"`, i, strings.Repeat("x", i*997%9000)))
				if i%10 == 0 {
					if _, err := c.Write(masked(fin|ping, fmt.Sprint("ping ", i))); err != nil {
						t.Error(err)
					}
				}
			}
		}()
		poll(t, func() bool { return n.server.Stats().Slow == 1 })
		got, pings := 0, 0
		for got < messages {
			op, payload, err := c.frame()
			if err != nil {
				t.Fatalf("%s: after %d: %v", protocol, got, err)
			}
			switch op {
			case pong:
				if want := fmt.Sprint("ping ", 10*pings); string(payload) != want {
					t.Fatalf("%s: want a pong for %s, got %q", protocol, want, payload)
				}
				pings++
			case text:
				for line := range bytes.SplitSeq(payload, []byte("\n")) {
					if bytes.HasPrefix(line, []byte(`{"op":"hello"`)) {
						continue
					}
					if want := fmt.Appendf(nil, `"%d x`, got); !bytes.Contains(line, want[:len(want)-1]) {
						t.Fatalf("%s: want message %d, got %.200s", protocol, got, line)
					}
					got++
				}
			default:
				t.Fatalf("%s: opcode %d", protocol, op)
			}
		}
		n.registry.Disconnect("alice", control.Value{})
		if code, reason := c.code(); code != session.CloseDisconnected {
			t.Errorf("%s: closed with %d %s", protocol, code, reason)
		}
		poll(t, func() bool { return n.server.Stats().Slow == 0 })
	}
}

// The close frame of a client that does not keep up comes after all that was offered.
func TestCloseFrameFollowsWhatDidNotFit(t *testing.T) {
	n := serveTight(t, config{})
	c := n.raw(ws.Plain)
	poll(t, func() bool { return n.registry.Stats().Sessions == 1 })
	sent := 0
	poll(t, func() bool {
		n.deliver("user:alice", "chat", fmt.Sprintf(`"%s"`, strings.Repeat("x", 5000)))
		sent++
		return n.server.Stats().Slow == 1
	})
	n.registry.Disconnect("alice", control.Value{})
	for range sent {
		if op, payload, err := c.frame(); op != text || len(payload) != 5002 || err != nil {
			t.Fatalf("got a frame %d of %d bytes, %v", op, len(payload), err)
		}
	}
	if op, payload, err := c.frame(); op != bye || err != nil || binary.BigEndian.Uint16(payload) != session.CloseDisconnected {
		t.Errorf("want the close frame, got %d %q %v", op, payload, err)
	}
}

// A client that does not answer the close frame learns at once that nothing follows it.
func TestSendingSideEndsAfterTheCloseFrame(t *testing.T) {
	n := serve(t, config{ws: ws.Config{CloseWait: time.Hour}})
	c := n.raw(ws.Plain)
	poll(t, func() bool { return n.registry.Disconnect("alice", control.Value{}) == 1 })
	if code, _ := c.code(); code != session.CloseDisconnected {
		t.Errorf("closed with %d", code)
	}
	if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the close frame: %v", err)
	}
}

// Connections that are more than a socket are written with their own Write.
func TestConnectionsThatAreMoreThanASocket(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"TLS":                       func(s *httptest.Server) { s.StartTLS() },
		"with a socket inside":      func(s *httptest.Server) { s.Listener = secret{s.Listener}; s.Start() },
		"with nothing but net.Conn": func(s *httptest.Server) { s.Listener = bare{s.Listener}; s.Start() },
	} {
		n := newNode(t, config{ws: ws.Config{OutboxFrames: 8}})
		listener := httptest.NewUnstartedServer(n.server)
		start(listener)
		dialer := websocket.Dialer{Subprotocols: []string{ws.V1}}
		switch name {
		case "TLS":
			dialer.TLSClientConfig = listener.Client().Transport.(*http.Transport).TLSClientConfig
		case "with a socket inside":
			dialer.NetDial = func(network, address string) (net.Conn, error) {
				c, err := net.Dial(network, address)
				if err != nil {
					return nil, err
				}
				return &secretConn{c.(*net.TCPConn)}, nil
			}
		}
		conn, _, err := dialer.Dial("ws"+strings.TrimPrefix(listener.URL, "http")+"/ws?systems=orders",
			http.Header{"Authorization": {"Bearer alice"}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c := &client{t: t, conn: conn}
		c.wants(`{"op":"hello"`)
		const messages = 500
		go func() {
			for i := range messages {
				n.deliver("user:alice", "orders", fmt.Sprint(i))
			}
		}()
		for i := range messages {
			c.wantsData(fmt.Sprint(i))
		}
		n.registry.Disconnect("alice", control.Value{})
		c.wantsClose(session.CloseDisconnected)
		n.stop()
		<-n.stopped
		listener.Close()
	}
}

// bare hides what its connections can do beside net.Conn.
type bare struct{ net.Listener }

func (l bare) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return struct{ net.Conn }{c}, err
}

// secret is a listener whose connections look like sockets, but change each byte on its
// way: who writes to the socket itself sends rubbish.
type secret struct{ net.Listener }

func (l secret) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &secretConn{TCPConn: c.(*net.TCPConn)}, nil
}

type secretConn struct{ *net.TCPConn }

func (c *secretConn) Write(p []byte) (int, error) { return c.TCPConn.Write(flipped(p)) }

func (c *secretConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	copy(p, flipped(p[:n]))
	return n, err
}

func flipped(p []byte) []byte {
	q := make([]byte, len(p))
	for i := range p {
		q[i] = ^p[i]
	}
	return q
}

// Each session is pinged once in a period.
func TestSessionsArePingedInTurn(t *testing.T) {
	inBubble(t, config{}, func(t *testing.T, n *pipedNode) {
		const sessions = 5
		var mu sync.Mutex
		pings := make(map[int][]time.Duration)
		var ended sync.WaitGroup
		for i := range sessions {
			c := n.v1(fmt.Sprint("user", i), "systems=orders")
			start, answer := time.Now(), c.conn.PingHandler()
			c.conn.SetPingHandler(func(data string) error {
				mu.Lock()
				pings[i] = append(pings[i], time.Since(start))
				mu.Unlock()
				return answer(data)
			})
			ended.Go(func() { c.ended() })
			pauseFor(7 * time.Second)
		}
		pauseFor(10 * time.Minute)
		synctest.Wait()
		mu.Lock()
		for i := range sessions {
			for j, at := range pings[i] {
				if want := time.Duration(j+1) * 25 * time.Second; at > want || at < want-time.Second {
					t.Errorf("session %d: ping %d came after %v", i, j, at)
				}
			}
			if len(pings[i]) < 24 {
				t.Errorf("session %d was pinged %d times", i, len(pings[i]))
			}
			defer n.registry.Disconnect(fmt.Sprint("user", i), control.Value{})
		}
		mu.Unlock()
	})
}
