package publishers

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
)

// Close also ends a connection that is taken over while it runs.
func TestCloseEndsAConnectionThatComesMeanwhile(t *testing.T) {
	s := New(&http.Server{Handler: http.NotFoundHandler()})
	if !s.enter() {
		t.Fatal("the server is closed")
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = s.Close()
	}()
	defer func() {
		s.running.Done()
		<-closed
	}()
	for begun := false; !begun; runtime.Gosched() {
		s.mu.Lock()
		begun = s.aborted
		s.mu.Unlock()
	}
	near, far := net.Pipe()
	defer near.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.add(newConn(s, far, bufio.NewReader(far), r, cancel))
	if _, err := near.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client reads: %v", err)
	}
	<-ctx.Done()
}
