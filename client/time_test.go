package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanfarebus/fanfare/client"
)

// pipes is a listener without a network, for tests in a synctest bubble.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs a test of a client and a node in a synctest bubble.
func inBubble(t *testing.T, test func(t *testing.T, n *node, dialer *websocket.Dialer)) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		n := &node{t: t, url: "http://node", visits: make(chan *visit), gone: make(chan struct{})}
		server := &http.Server{Handler: n}
		served := make(chan struct{})
		go func() { defer close(served); _ = server.Serve(p) }()
		defer func() { close(n.gone); server.Close(); <-served }()
		test(t, n, &websocket.Dialer{NetDialContext: p.dial})
	})
}

func TestTokenIsReplacedOnTheConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node, dialer *websocket.Dialer) {
		start := time.Now()
		failed := errors.New("not now")
		tokens := []string{"", jwt(strconv.FormatInt(start.Add(100*time.Second).Unix(), 10)), "fails", "opaque"}
		calls := 0
		u := n.connect(func(c *client.Config) {
			c.Dialer = dialer
			c.Token = func(context.Context) (string, error) {
				if calls++; tokens[calls] == "fails" {
					return "", failed
				}
				return tokens[calls], nil
			}
		})
		v := n.hello()
		_ = v.conn.SetReadDeadline(time.Time{})
		if got := v.Header.Get("Authorization"); got != "Bearer "+tokens[1] {
			t.Errorf("came with %s", got)
		}
		pings := make(chan struct{})
		go func() { // as nodes do
			defer close(pings)
			for range 3 {
				time.Sleep(25 * time.Second)
				_ = v.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
			}
		}()
		v.wants(`{"op":"auth","ref":1,"token":"opaque"}`)
		if at := time.Since(start); at < 93*time.Second || at >= 100*time.Second {
			t.Errorf("the second try to replace the token came after %v", at)
		}
		v.says(`{"op":"ok","ref":1}`, `{"op":"bus","up":true}`)
		u.hears("bus true")
		<-pings
		u.leaves()
	})
}

func TestSilentConnectionIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node, dialer *websocket.Dialer) {
		u := n.connect(func(c *client.Config) { c.Dialer = dialer })
		start := time.Now()
		within := func(want time.Duration) {
			t.Helper()
			// Writing a close frame that nobody reads takes a second.
			if got := time.Since(start); got < want || got > want+1100*time.Millisecond {
				t.Errorf("given up after %v; want %v", got, want)
			}
			start = time.Now()
		}
		first := <-n.visits // no answer to the handshake
		second := <-n.visits
		within(10 * time.Second)
		second.accept() // no hello
		third := <-n.visits
		within(10 * time.Second)
		third.accept()
		third.says(hello)
		fourth := <-n.visits // nothing after the hello
		within(90 * time.Second)
		for _, v := range []*visit{first, second, third, fourth} {
			close(v.done)
		}
		u.leaves()
	})
}

func TestPausesGrowUntilAConnectionLasts(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node, dialer *websocket.Dialer) {
		var failures []int
		lost := make(chan int, 1)
		u := n.connect(func(c *client.Config) {
			c.Dialer = dialer
			c.Handler.Lost = func(_ context.Context, l *client.Lost) error { lost <- l.Failures; return nil }
		})
		for i := range 5 {
			v := n.hello()
			if i == 3 {
				time.Sleep(10 * time.Second)
			}
			v.closes(1011)
			failures = append(failures, <-lost)
		}
		for i, want := range []int{1, 2, 3, 0, 1} {
			if failures[i] != want {
				t.Fatalf("failures were counted as %v", failures)
			}
		}
		u.leaves()
	})
}

func TestHandlerThatCallsIsNotHeldUpByItsOwnQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node, dialer *websocket.Dialer) {
		var c *client.Client
		failed := make(chan error, 1)
		u := n.connect(func(cfg *client.Config) {
			cfg.Dialer, cfg.QueueBytes = dialer, 1
			cfg.Handler.Message = func(ctx context.Context, m *client.Message) error {
				if m.ID != "1" {
					return nil
				}
				_, err := c.Send(ctx, "chat", client.Sending{})
				failed <- err
				return nil
			}
		})
		c = u.Client
		v := n.hello()
		v.says(message("chat", "1", "c1"), message("chat", "2", "c2"), message("chat", "3", "c3"), `{"op":"bus","up":true}`)
		v.wants(`{"op":"send","ref":1,"system":"chat","data":null}`)
		if err := <-failed; !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, client.ErrUnknown) {
			t.Errorf("Send returned %v", err)
		}
		u.hears("bus true")
		u.leaves()
	})
}
