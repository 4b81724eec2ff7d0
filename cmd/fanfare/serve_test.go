package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fanfarebus/fanfare"
)

// The setting standard_http leaves publishers to net/http.
func TestStandardHTTPServesPublishersToo(t *testing.T) {
	for _, standard := range []bool{false, true} {
		cfg := fanfare.DefaultConfig()
		cfg.StandardHTTP = standard
		byNetHTTP := make(chan bool, 1)
		s := newServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, ok := w.(http.Hijacker) // only net/http's is one
			byNetHTTP <- ok
		}), cfg, slog.New(slog.DiscardHandler))
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- s.Serve(l) }()
		r, err := http.Post("http://"+l.Addr().String()+"/v1/systems/orders/messages", "application/json",
			strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if got := <-byNetHTTP; got != standard {
			t.Errorf("standard_http %v: served by net/http %v", standard, got)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	}
}
