package connections_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/connections"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve returns the server's address, how many connections it has, and how
// often one of them began to wait for its next request.
func serve(t *testing.T, limits fanfare.LimitsConfig) (addr string, open, idled *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open, idled = new(atomic.Int64), new(atomic.Int64)
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	s := connections.Server(hello, limits, slog.New(slog.DiscardHandler))
	state := s.ConnState
	s.ConnState = func(c net.Conn, now http.ConnState) {
		switch now {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
		state(c, now)
		if now == http.StateIdle {
			idled.Add(1)
		}
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(connections.Bound(l, limits.SocketBytes)) }()
	t.Cleanup(func() { s.Close(); <-done })
	return l.Addr().String(), open, idled
}

func limits() fanfare.LimitsConfig {
	l := fanfare.DefaultConfig().Limits
	l.AnswerTime, l.SocketBytes = 500*time.Millisecond, 64<<10
	return l
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(limit); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v in vain for: %s", limit, what)
		}
	}
}

// Requests that net/http answers by itself, such as OPTIONS *, are bounded, too.
func TestAClientThatReadsNothingLosesItsConnection(t *testing.T) {
	for _, request := range []string{"OPTIONS *", "GET /"} {
		addr, open, _ := serve(t, limits())
		c := dial(t, addr)
		_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		batch := []byte(strings.Repeat(request+" HTTP/1.1\r\nHost: localhost\r\n\r\n", 500))
		sent := 0
		for {
			_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
			n, err := c.Write(batch)
			if sent += n; err != nil {
				break
			}
		}
		within(t, 20*time.Second, "the end of "+request, func() bool { return open.Load() == 0 })
		if sent > 8<<20 {
			t.Errorf("%s: the system took %d bytes of requests", request, sent)
		}
	}
}

func TestOneMoreIdleConnectionEndsThatWhichHasWaitedLongest(t *testing.T) {
	l := limits()
	l.IdleConnections = 3
	addr, open, idled := serve(t, l)
	ask := func(c net.Conn) error {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		return err
	}
	var all []net.Conn
	for i := range 5 {
		c := dial(t, addr)
		all = append(all, c)
		if err := ask(c); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		// The client may have its answer before the server notes that the connection waits.
		within(t, 20*time.Second, "it waits", func() bool { return idled.Load() == int64(i+1) })
		within(t, 20*time.Second, "at most three connections", func() bool { return open.Load() <= 3 })
	}
	for i, c := range all {
		if err := ask(c); (err == nil) != (i >= 2) {
			t.Errorf("connection %d: %v", i, err)
		}
	}
}

// Connections that have not sent a request yet are bounded by time, not by number:
// when all clients come back at once, many of them wait for their turn.
func TestNewConnectionsAreNotIdle(t *testing.T) {
	l := limits()
	l.IdleConnections = 1
	addr, open, _ := serve(t, l)
	for range 10 {
		dial(t, addr)
	}
	within(t, 20*time.Second, "ten connections", func() bool { return open.Load() == 10 })
}
