package pipes_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare/test/internal/pipes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServerIsReachedByItsName(t *testing.T) {
	n := pipes.New()
	l := n.Listen("one")
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) {
		host, _, _ := strings.Cut(addr, ":")
		return n.Dial(ctx, host)
	}
	c := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	answer, err := c.Get("http://one/")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if string(body) != "127.0.0.1:1" {
		t.Errorf("it is called from %s", body)
	}
	if _, err := c.Get("http://two/"); err == nil {
		t.Error("there is a node two")
	}
	server.Close()
	<-served
	if _, err := n.Dial(t.Context(), "one"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed listener says %v", err)
	}
}

func TestCutBreaksConnectionsAndRefusesNewOnes(t *testing.T) {
	n := pipes.New()
	l := n.Listen("one")
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	c, err := n.Dial(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	<-accepted
	l.Cut()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("reading says %v", err)
	}
	if _, err := n.Dial(t.Context(), "one"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialling says %v", err)
	}
	n.Listen("one")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Dial(ctx, "one"); !errors.Is(err, context.Canceled) {
		t.Errorf("dialling who accepts nobody says %v", err)
	}
}
