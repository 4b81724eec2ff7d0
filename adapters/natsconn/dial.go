package natsconn

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

// dial connects to one of the hosts, in random order, and logs in. The end of ctx
// ends the attempt and the connection. The error says what each host answered.
func (s *Server) dial(ctx context.Context) (*Conn, error) {
	var faults error
	for _, i := range rand.Perm(len(s.hosts)) {
		c, err := s.dialHost(ctx, s.hosts[i])
		if err == nil {
			return c, nil
		}
		if len(s.hosts) > 1 {
			err = fmt.Errorf("%s: %w", s.hosts[i], err)
		}
		if faults != nil {
			err = fmt.Errorf("%w; %w", faults, err)
		}
		faults = err
		if ctx.Err() != nil {
			break
		}
	}
	return nil, faults
}

func (s *Server) dialHost(ctx context.Context, host string) (*Conn, error) {
	c := &Conn{
		ended: make(chan struct{}), refusals: make(map[*Refusals]struct{}),
		replyTimeout: s.replyTimeout, inboxPrefix: s.inboxPrefix,
	}
	o := s.options
	o.Servers = []string{host}
	var unusable error
	if s.tls != nil {
		o.TLSConfig, unusable = s.tls.Config()
	}
	d := &dialer{ctx: ctx, timeout: o.Timeout, conn: c}
	o.CustomDialer = d
	o.AsyncErrorCB = c.onAsyncError
	o.ClosedCB = func(*nats.Conn) { close(c.ended) }
	var err error
	if c.Conn, err = o.Connect(); err != nil {
		if d.err != nil {
			err = d.err // nats.go says no more than "no servers available"
		}
		return nil, dsn.WithUnusable(err, unusable)
	}
	return c, nil
}

// A dialer makes the network connection of one Conn.
type dialer struct {
	ctx     context.Context // its end closes the network connection
	timeout time.Duration
	conn    *Conn
	err     error // of the last Dial
}

// Dial implements [nats.CustomDialer].
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	nc, err := (&net.Dialer{Timeout: d.timeout}).DialContext(d.ctx, network, address)
	if d.err = err; err != nil {
		return nil, err
	}
	return newHeardConn(d.ctx, nc, d.conn), nil
}

// A heardConn is a network connection that tells its Conn when bytes come, and
// that is closed when a context ends.
type heardConn struct {
	net.Conn
	stopAfterFunc func() bool
	owner         *Conn
}

func newHeardConn(ctx context.Context, nc net.Conn, owner *Conn) *heardConn {
	owner.heard.Store(time.Now().UnixNano())
	return &heardConn{nc, context.AfterFunc(ctx, func() { _ = nc.Close() }), owner}
}

func (c *heardConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.owner.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

func (c *heardConn) Close() error {
	c.stopAfterFunc()
	return c.Conn.Close()
}
