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
	life   context.Context // until Close
	end    context.CancelFunc

	mu      sync.Mutex
	closed  bool           // guarded by mu
	conn    *Conn          // the last one; guarded by mu
	dialing *dialing       // nil: nobody dials; guarded by mu
	running sync.WaitGroup // dials; Add under mu while not closed
}

// A dialing is one attempt to connect, which any number of callers wait for.
type dialing struct {
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
		return d.conn, Classify(refusedAtTheDoor(d.err))
	case <-ctx.Done():
		return nil, Classify(fmt.Errorf("connect: %w", ctx.Err()))
	}
}

// current returns the connection, or who makes one, or neither if c is closed.
func (c *Client) current() (*Conn, *dialing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, nil
	case c.conn != nil && !c.conn.over():
		return c.conn, nil
	case c.barred() != nil:
		return nil, &dialing{done: closed, err: domain.Refused(c.barred())}
	case c.dialing == nil:
		c.dialing = &dialing{done: make(chan struct{})}
		d := c.dialing
		c.running.Go(func() { c.dial(d) })
	}
	return nil, c.dialing
}

// barPause is how long after a server let nobody hear its answers it is asked
// again.
const barPause = time.Second

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// barred returns why a new connection would be of no use yet. Call it with mu
// held.
func (c *Client) barred() error {
	if c.conn == nil {
		return nil
	}
	err, since := c.conn.bar()
	if time.Since(since) > barPause {
		return nil
	}
	return err
}

func (c *Client) dial(d *dialing) {
	d.conn, d.err = c.server.dial(c.life)
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.err == nil && c.closed {
		d.conn.end()
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
	c.end()
	c.running.Wait()
	if conn != nil {
		conn.end()
	}
	return nil
}
