package cluster

import (
	"context"
	"net"
)

// WaitConnected waits until the client has a session.
func (c *Client) WaitConnected() {
	c.c.t.Helper()
	c.wait("be connected", func(s state) bool { return s.connected })
}

// Node waits until the client has a session, and returns the node that holds it.
func (c *Client) Node() *Node {
	c.c.t.Helper()
	c.WaitConnected()
	return c.on()
}

// on returns the node that the client connected to last.
func (c *Client) on() *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// dial waits until the client may connect, and connects to the node that it
// should connect to.
func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	c.mu.Lock()
	gate := c.gate
	c.mu.Unlock()
	select {
	case <-gate:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	node := c.node
	c.mu.Unlock()
	conn, err := net.Conn(nil), error(nil)
	if node != nil {
		conn, err = c.c.net.Dial(ctx, node.name)
	} else {
		conn, node, err = c.c.balance(ctx)
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate != gate {
		conn.Close() // Disconnect was called in the meantime
		return nil, net.ErrClosed
	}
	c.conn, c.at = conn, node
	return conn, nil
}

// Cut breaks the client's connection, as a network failure does, and waits until
// the client has noticed. The client reconnects by itself.
func (c *Client) Cut() {
	c.c.t.Helper()
	c.note("is cut off")
	c.cut()
}

func (c *Client) cut() {
	c.c.t.Helper()
	before := c.box.now().hellos
	c.mu.Lock()
	if c.conn != nil {
		c.conn.Close()
	}
	c.mu.Unlock()
	c.wait("notice that it is cut off", func(s state) bool { return !s.connected || s.hellos > before })
}

// Disconnect breaks the client's connection, and keeps the client from
// reconnecting until [Client.Reconnect].
func (c *Client) Disconnect() {
	c.c.t.Helper()
	c.note("is cut off, and stays away")
	c.mu.Lock()
	c.gate = make(chan struct{})
	c.mu.Unlock()
	c.cut()
}

// Reconnect lets the client connect to the given node or, without one, to where
// it usually connects, and waits until it has a session.
func (c *Client) Reconnect(to ...*Node) {
	c.c.t.Helper()
	before := c.box.now()
	c.mu.Lock()
	if c.node = c.cfg.Node; len(to) > 0 {
		c.node = to[0]
	}
	select {
	case <-c.gate:
	default:
		close(c.gate)
	}
	c.mu.Unlock()
	if before.connected {
		c.cut()
	}
	c.wait("come back", func(s state) bool { return s.connected && s.hellos > before.hellos })
}

func (c *Client) isAway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.gate:
		return false
	default:
		return true
	}
}
