package natsconn

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Client holds at most one connection and makes a new one when it is asked
// after the last one ended. It is safe for concurrent use.
type Client struct {
	server *Server
	ctx    context.Context // until Close
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool           // guarded by mu
	conn    *Conn          // the last one; guarded by mu
	dialing *dialAttempt   // nil: nobody dials; guarded by mu
	running sync.WaitGroup // dials; Add under mu while not closed
}

// A dialAttempt is one attempt to connect, which any number of callers wait for.
type dialAttempt struct {
	done chan struct{}
	conn *Conn // these two are read after done
	err  error
}

// Conn returns a connection that has not ended, so far as is known. It waits
// for one no longer than ctx.
func (c *Client) Conn(ctx context.Context) (*Conn, error) {
	conn, d := c.current()
	switch {
	case conn != nil:
		return conn, nil
	case d == nil:
		return nil, domain.ErrClosed
	}
	select {
	case <-d.done:
		return d.conn, Classify(loginRefused(d.err))
	case <-ctx.Done():
		return nil, Classify(fmt.Errorf("connect: %w", ctx.Err()))
	}
}

// current returns the connection, or who makes one, or neither if c is closed.
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
	case c.dialing == nil:
		c.dialing = &dialAttempt{done: make(chan struct{})}
		d := c.dialing
		c.running.Go(func() { c.dial(d) })
	}
	return nil, c.dialing
}

// barPause is how long after a server let nobody hear its answers it is asked
// again.
const inboxRetryPause = time.Second

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// inboxDenied returns why a new connection would be of no use yet. Call it with mu
// held.
func (c *Client) inboxDenied() error {
	if c.conn == nil {
		return nil
	}
	err, since := c.conn.inboxDenied()
	if time.Since(since) > inboxRetryPause {
		return nil
	}
	return err
}

func (c *Client) dial(d *dialAttempt) {
	d.conn, d.err = c.server.dial(c.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.err == nil && c.closed {
		d.conn.closeAndWait()
		d.conn, d.err = nil, domain.ErrClosed
	}
	c.conn, c.dialing = d.conn, nil
	close(d.done)
}

// Close ends the connection and waits until it is gone. A second time does
// nothing.
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
