package broker_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/test/broker"
)

func TestCutProxyEndsAndRefusesConnectionsUntilMended(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	p := broker.NewProxy(t, server.Listener.Addr().String())
	conn := dial(t, p)
	p.Cut()
	if err := read(t, conn); err == nil {
		t.Error("a connection outlived the cut")
	}
	if err := read(t, dial(t, p)); err == nil {
		t.Error("a new connection passed while the proxy was cut")
	}
	p.Mend()
	if err := read(t, dial(t, p)); err != nil {
		t.Errorf("after Mend: %v", err)
	}
}

func dial(t *testing.T, p *broker.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// read asks for something, and reads the beginning of the answer.
func read(t *testing.T, conn net.Conn) error {
	t.Helper()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") // the answer shows whether it got there
	_, err := conn.Read(make([]byte, 1))
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Fatal("the proxy swallows instead of ending the connection")
	}
	return err
}
