package redisconn

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/fanfarebus/fanfare/domain"
)

// FeedsPerConn is how many feeds share one connection at most. With more of them,
// a busy topic would pay for every quiet topic beside it: whenever one stream of a
// connection has an entry, the server looks at all streams of that connection.
const FeedsPerConn = 64

// SharedConns spreads feeds over connections that they share, so that a node that
// follows a thousand topics does not need a thousand connections. It is safe for
// concurrent use.
//
// F is the driver's type of a feed, usually a pointer. S is what the driver keeps
// for each connection.
type SharedConns[F comparable, S any] struct {
	cfg     SharedConfig[F, S]
	dialing chan struct{} // holds a token while a connection is being opened: one at a time

	mu     sync.Mutex
	conns  []*SharedConn[F, S] // guarded by mu
	closed bool                // guarded by mu

	running sync.WaitGroup // counts the goroutines that serve connections
}

// SharedConfig says how a driver uses its shared connections. All fields are
// required.
type SharedConfig[F comparable, S any] struct {
	// Dial opens a connection to the server at an address and logs in.
	Dial func(ctx context.Context, addr string) (*Conn, error)
	// State makes what the driver keeps for a connection.
	State func(*Conn) S
	// Serve reads the connection until it ends, and returns why it ended. It runs
	// on a goroutine of its own for each connection.
	Serve func(*SharedConn[F, S]) error
	// End tells a feed why its connection has ended. It is called after Serve, on
	// the same goroutine, for each feed that has not left by then.
	End func(F, error)
}

// A SharedConn is one connection that feeds of different topics share.
type SharedConn[F comparable, S any] struct {
	Conn  *Conn
	State S
	owner *SharedConns[F, S]
	feeds map[string]F // by topic; nil once the connection is removed; guarded by owner.mu
}

// NewSharedConns returns a [SharedConns] without a connection.
func NewSharedConns[F comparable, S any](cfg SharedConfig[F, S]) *SharedConns[F, S] {
	return &SharedConns[F, S]{cfg: cfg, dialing: make(chan struct{}, 1)}
}

// Join adds a topic's feed to a connection to the server at addr (see [Conn.Addr]). It
// opens a new connection if none has room. The caller calls [SharedConn.Leave] when the
// feed is closed.
func (s *SharedConns[F, S]) Join(
	ctx context.Context, addr, topic string, feed F,
) (*SharedConn[F, S], error) {
	if conn, err := s.joinExisting(addr, topic, feed); conn != nil || err != nil {
		return conn, err
	}
	select {
	case s.dialing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.dialing }()
	// Another call may have opened a connection while this one waited.
	if conn, err := s.joinExisting(addr, topic, feed); conn != nil || err != nil {
		return conn, err
	}
	conn, err := s.cfg.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return s.add(conn, topic, feed)
}

// joinExisting adds the feed to an open connection to addr. It returns nil if none has
// room. Two feeds of the same topic never share a connection, because the server's
// replies name the topic and nothing else.
func (s *SharedConns[F, S]) joinExisting(addr, topic string, feed F) (*SharedConn[F, S], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, domain.ErrClosed
	}
	for _, conn := range s.conns {
		if _, taken := conn.feeds[topic]; conn.Conn.Addr() == addr && !taken && len(conn.feeds) < FeedsPerConn {
			conn.feeds[topic] = feed
			return conn, nil
		}
	}
	return nil, nil
}

// add adds a new connection with its first feed, and starts to serve it.
func (s *SharedConns[F, S]) add(conn *Conn, topic string, feed F) (*SharedConn[F, S], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return nil, domain.ErrClosed
	}
	shared := &SharedConn[F, S]{
		Conn: conn, State: s.cfg.State(conn), owner: s, feeds: map[string]F{topic: feed},
	}
	s.conns = append(s.conns, shared)
	s.running.Go(func() { s.serve(shared) })
	return shared, nil
}

// serve serves one connection, and then ends the feeds that are still on it.
func (s *SharedConns[F, S]) serve(conn *SharedConn[F, S]) {
	err := s.cfg.Serve(conn)
	for _, feed := range s.remove(conn) {
		s.cfg.End(feed, err)
	}
	_ = conn.Conn.Close()
}

// remove removes the connection, so that no feed can join it any more, and returns
// the feeds that are on it.
func (s *SharedConns[F, S]) remove(conn *SharedConn[F, S]) map[string]F {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removeLocked(conn)
}

// removeLocked is remove for callers that hold s.mu.
func (s *SharedConns[F, S]) removeLocked(conn *SharedConn[F, S]) map[string]F {
	if i := slices.Index(s.conns, conn); i >= 0 {
		s.conns = slices.Delete(s.conns, i, i+1)
	}
	left := conn.feeds
	conn.feeds = nil
	return left
}

// Leave takes the topic's feed off the connection, and reports whether the feed
// was on it. When the last feed leaves, the connection is closed.
func (c *SharedConn[F, S]) Leave(topic string, feed F) bool {
	s := c.owner
	s.mu.Lock()
	defer s.mu.Unlock()
	if current, ok := c.feeds[topic]; !ok || current != feed {
		return false
	}
	delete(c.feeds, topic)
	if len(c.feeds) == 0 {
		s.removeLocked(c)
		_ = c.Conn.Close()
	}
	return true
}

// Feed returns the topic's feed on this connection.
func (c *SharedConn[F, S]) Feed(topic string) (feed F, ok bool) {
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	feed, ok = c.feeds[topic]
	return feed, ok
}

// Feeds appends the connection's feeds to dst. It appends none once the
// [SharedConns] are closed.
func (c *SharedConn[F, S]) Feeds(dst []F) []F {
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	if c.owner.closed {
		return dst
	}
	for _, feed := range c.feeds {
		dst = append(dst, feed)
	}
	return dst
}

// Close closes all connections and waits until no goroutine serves them any more.
// Feeds that are left are told [domain.ErrClosed], or the error with which their
// connection ended. Close may be called more than once.
func (s *SharedConns[F, S]) Close() error {
	s.mu.Lock()
	s.closed = true
	var failed error
	for _, conn := range s.conns {
		if err := conn.Conn.Close(); err != nil {
			failed = fmt.Errorf("close a shared connection: %w", err)
		}
	}
	s.mu.Unlock()
	s.running.Wait()
	return failed
}
