package natsconn

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Client holds at most one connection, and makes a new one when it is asked
// for one after the last has ended. It is safe for concurrent use.
type Client struct {
	server *Server
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool           // guarded by mu
	conn    *Conn          // the newest one, which may have ended; guarded by mu
	attempt *dialAttempt   // nil while no attempt is under way; guarded by mu
	running sync.WaitGroup // attempts; Add under mu while not closed
}

// A dialAttempt is one attempt to connect. Any number of callers wait for it.
type dialAttempt struct {
	done chan struct{}
	conn *Conn // conn and err are set before done is closed
	err  error
}

// Conn returns the connection, or a new one if the last has ended. It waits for a
// new one until ctx ends; the attempt to connect goes on for other callers.
func (c *Client) Conn(ctx context.Context) (*Conn, error) {
	conn, attempt := c.current()
	switch {
	case conn != nil:
		return conn, nil
	case attempt == nil:
		return nil, domain.ErrClosed
	}
	select {
	case <-attempt.done:
		return attempt.conn, Classify(loginRefused(attempt.err))
	case <-ctx.Done():
		return nil, Classify(fmt.Errorf("connect: %w", ctx.Err()))
	}
}

// current returns a connection that is alive, else the attempt to make one, which
// it starts if there is none. It returns neither if c is closed.
func (c *Client) current() (*Conn, *dialAttempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, nil
	case c.conn != nil && !c.conn.hasEnded():
		return c.conn, nil
	case c.inboxDenied() != nil:
		return nil, &dialAttempt{done: closedChan, err: domain.Refused(c.inboxDenied())}
	case c.attempt == nil:
		attempt := &dialAttempt{done: make(chan struct{})}
		c.attempt = attempt
		c.running.Go(func() { c.dial(attempt) })
	}
	return nil, c.attempt
}

// inboxRetryPause is how long no new connection is made after the server has
// refused the subscription to answers.
const inboxRetryPause = time.Second

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// inboxDenied returns an error while a new connection would be useless because the
// server has just refused the subscription to answers. The caller holds mu.
func (c *Client) inboxDenied() error {
	if c.conn == nil {
		return nil
	}
	since, err := c.conn.inboxDenied()
	if time.Since(since) > inboxRetryPause {
		return nil
	}
	return err
}

func (c *Client) dial(attempt *dialAttempt) {
	attempt.conn, attempt.err = c.server.dial(c.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if attempt.err == nil && c.closed {
		attempt.conn.closeAndWait()
		attempt.conn, attempt.err = nil, domain.ErrClosed
	}
	c.conn, c.attempt = attempt.conn, nil
	close(attempt.done)
}

// Close ends the connection and waits until it has ended. It may be called more than
// once.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	conn := c.conn
	c.mu.Unlock()
	c.cancel()
	c.running.Wait()
	if conn != nil {
		conn.closeAndWait()
	}
	return nil
}
