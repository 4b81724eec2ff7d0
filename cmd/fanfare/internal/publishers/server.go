package publishers

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// A Server is an [http.Server] that serves simple publish requests itself. Its methods
// are those of an http.Server, and safe for concurrent use.
type Server struct {
	std     *http.Server // serves every connection at first
	rest    *http.Server // serves connections again that were given back
	back    *returned
	handler http.Handler

	closing atomic.Bool // changes under mu

	mu      sync.Mutex
	running sync.WaitGroup     // connections that are served here; Add under mu, while not closing
	conns   map[*conn]struct{} // guarded by mu
	aborted bool               // Close was called; guarded by mu
}

// New makes a Server of an http.Server that does not serve yet, and takes it over. Its
// Handler must not keep a request, or its header, beyond the call. Its ConnState hears
// of a connection that is served here that it is hijacked, and after that that it waits,
// serves, or is closed. Its BaseContext and ConnContext do not hold for connections that
// were given back.
func New(std *http.Server) *Server {
	s := &Server{
		std: std, handler: std.Handler, back: newReturned(), conns: map[*conn]struct{}{},
		rest: &http.Server{
			Handler:           std.Handler,
			ReadTimeout:       std.ReadTimeout,
			ReadHeaderTimeout: std.ReadHeaderTimeout,
			WriteTimeout:      std.WriteTimeout,
			IdleTimeout:       std.IdleTimeout,
			MaxHeaderBytes:    std.MaxHeaderBytes,
			ConnState:         std.ConnState,
			ErrorLog:          std.ErrorLog,
		},
	}
	std.Handler = http.HandlerFunc(s.first)
	return s
}

// Serve serves the connections of a listener until Shutdown or Close. Call it once.
func (s *Server) Serve(l net.Listener) error {
	rest := make(chan struct{})
	go func() {
		defer close(rest)
		_ = s.rest.Serve(s.back) // it ends with the Server, and only then
	}()
	err := s.std.Serve(l)
	if !errors.Is(err, http.ErrServerClosed) {
		err = errors.Join(err, s.Close())
	}
	<-rest
	return err
}

// Shutdown stops listening, closes connections that wait for a request, and returns
// when all requests under way are answered, or with ctx's error when that ends first.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	err := errors.Join(s.std.Shutdown(ctx), s.wait(ctx))
	// Only now can no connection be given back any more.
	return errors.Join(err, s.rest.Shutdown(ctx))
}

// Close closes all connections at once and waits for the handlers of those that are
// served here.
func (s *Server) Close() error {
	s.stop()
	err := errors.Join(s.std.Close(), s.rest.Close())
	s.mu.Lock()
	s.aborted = true
	for c := range s.conns {
		c.abort()
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}

// stop lets no connection begin to be served here, and closes those that wait.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing.Store(true)
	for c := range s.conns {
		c.closeIfWaiting()
	}
}

// wait waits until no connection is served here.
func (s *Server) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.running.Wait() // Close ends it at the latest
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// first answers the first requests of connections, for net/http.
func (s *Server) first(w http.ResponseWriter, r *http.Request) {
	if !isSimple(r) || !s.enter() {
		s.handler.ServeHTTP(w, r)
		return
	}
	defer s.running.Done()
	stream, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.handler.ServeHTTP(w, r)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	c := newConn(s, stream, buffered.Reader, r.WithContext(ctx), cancel)
	s.add(c)
	defer s.remove(c)
	c.serve()
}

// enter makes Shutdown wait for the caller, until it calls s.running.Done.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.running.Add(1)
	return true
}

// add lets Close end c. If Close was called since enter, it is ended now.
func (s *Server) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	if s.aborted {
		c.abort()
	}
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// isSimple reports whether a request that net/http has read is a simple publish, as
// head.parse does for those that are read here.
func isSimple(r *http.Request) bool {
	if r.Method != http.MethodPost || r.Proto != "HTTP/1.1" || r.TLS != nil || r.Close ||
		r.ContentLength <= 0 || r.ContentLength > maxBody || len(r.TransferEncoding) > 0 ||
		!isPublish(r.RequestURI) {
		return false
	}
	lines, size := 0, len(r.RequestURI) // the header stays in memory as long as the connection
	for name, values := range r.Header {
		if isSpecial(name) && !(name == "Connection" && len(values) == 1 && isKeepAlive(values[0])) {
			return false
		}
		lines += len(values)
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	return lines <= maxLines && size <= maxHead
}

// isSpecial reports whether a header of this name changes what a request or its
// connection is.
func isSpecial(name string) bool {
	switch name {
	case "Connection", "Expect", "Http2-Settings", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// isKeepAlive reports whether a Connection header says what holds anyway in HTTP/1.1.
func isKeepAlive(value string) bool { return strings.EqualFold(value, "keep-alive") }
