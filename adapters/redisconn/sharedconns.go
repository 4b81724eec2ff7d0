package redisconn

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fanfarebus/fanfare/domain"
)

// FeedsPerLane is how many feeds share one connection at most. More of them
// would make one busy topic pay for every quiet one beside it: a server looks at
// all of a connection's streams whenever one of them has something.
const FeedsPerConn = 64

// OwnConnections is how many feeds have a connection of their own unless the
// URL says otherwise: read_connections.
const DefaultReadConnections = 16

// Slots counts the feeds that have a connection of their own. It is safe for
// concurrent use.
type Slots struct {
	limit int32
	taken atomic.Int32
}

// NewSlots returns as many free slots as most says.
func NewSlots(most int) *Slots { return &Slots{limit: int32(min(most, math.MaxInt32))} }

// Take takes a slot, if one is free. Whoever has it calls release; a second
// call of release does nothing.
func (s *Slots) Take() (release func(), ok bool) {
	if s.taken.Add(1) > s.limit {
		s.taken.Add(-1)
		return nil, false
	}
	return sync.OnceFunc(func() { s.taken.Add(-1) }), true
}

// SharedConns spread feeds over connections that they share, so that a node which
// follows a thousand topics does not need a thousand connections. F is what the
// driver knows of a feed, S what it keeps for a lane. SharedConns are safe for
// concurrent use.
type SharedConns[F comparable, S any] struct {
	cfg     SharedConfig[F, S]
	dialing chan struct{} // one token: at most one new lane is being made

	mu     sync.Mutex
	conns  []*SharedConn[F, S] // guarded by mu
	closed bool                // guarded by mu

	running sync.WaitGroup // the goroutines of all lanes
}

// SharedConfig says what a driver does with its lanes. All fields are required.
type SharedConfig[F comparable, S any] struct {
	// Dial opens a connection that is logged in.
	Dial func(context.Context) (*Conn, error)
	// State makes what the driver keeps for a lane.
	State func(*Conn) S
	// Serve reads a lane's connection until that ends, and returns why. The lane
	// calls it on a goroutine of its own.
	Serve func(*SharedConn[F, S]) error
	// End tells a feed why its lane is over. It is called after Serve.
	End func(F, error)
}

// A SharedConn is one connection that feeds of different topics share.
type SharedConn[F comparable, S any] struct {
	Conn  *Conn
	State S
	owner *SharedConns[F, S]
	feeds map[string]F // by topic; guarded by lanes.mu
}

// NewSharedConns returns Lanes without a connection.
func NewSharedConns[F comparable, S any](cfg SharedConfig[F, S]) *SharedConns[F, S] {
	return &SharedConns[F, S]{cfg: cfg, dialing: make(chan struct{}, 1)}
}

// Join adds a feed of the topic to a lane, and opens a new one if all that
// could take it are full. Whoever joined calls Leave.
func (l *SharedConns[F, S]) Join(ctx context.Context, topic string, feed F) (*SharedConn[F, S], error) {
	if lane, err := l.joinExisting(topic, feed); lane != nil || err != nil {
		return lane, err
	}
	select {
	case l.dialing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-l.dialing }()
	if lane, err := l.joinExisting(topic, feed); lane != nil || err != nil {
		return lane, err // another feed has opened one meanwhile
	}
	conn, err := l.cfg.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return l.add(conn, topic, feed)
}

// joinExisting joins a lane that is there. It returns nil if there is none with
// room. Two feeds of one topic never share a lane, since the answers name only
// the topic.
func (l *SharedConns[F, S]) joinExisting(topic string, feed F) (*SharedConn[F, S], error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, domain.ErrClosed
	}
	for _, lane := range l.conns {
		if _, taken := lane.feeds[topic]; !taken && len(lane.feeds) < FeedsPerConn {
			lane.feeds[topic] = feed
			return lane, nil
		}
	}
	return nil, nil
}

// add makes a lane of a new connection and begins to serve it.
func (l *SharedConns[F, S]) add(conn *Conn, topic string, feed F) (*SharedConn[F, S], error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.Close()
		return nil, domain.ErrClosed
	}
	lane := &SharedConn[F, S]{Conn: conn, State: l.cfg.State(conn), owner: l, feeds: map[string]F{topic: feed}}
	l.conns = append(l.conns, lane)
	l.running.Go(func() {
		err := l.cfg.Serve(lane)
		for _, feed := range l.remove(lane) {
			l.cfg.End(feed, err)
		}
		_ = conn.Close()
	})
	return lane, nil
}

// remove takes the lane out of the list and returns the feeds that it still
// had. Nobody can join it afterwards.
func (l *SharedConns[F, S]) remove(lane *SharedConn[F, S]) map[string]F {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.removeLocked(lane)
}

func (l *SharedConns[F, S]) removeLocked(lane *SharedConn[F, S]) map[string]F {
	for i, other := range l.conns {
		if other == lane {
			l.conns = slices.Delete(l.conns, i, i+1)
			break
		}
	}
	left := lane.feeds
	lane.feeds = nil
	return left
}

// Leave takes the topic's feed off the lane, and says whether it was there. The
// last one to leave closes the connection.
func (lane *SharedConn[F, S]) Leave(topic string, feed F) bool {
	l := lane.owner
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, here := lane.feeds[topic]; !here || at != feed {
		return false
	}
	delete(lane.feeds, topic)
	if len(lane.feeds) == 0 {
		l.removeLocked(lane)
		_ = lane.Conn.Close()
	}
	return true
}

// Feed returns the topic's feed on this lane.
func (lane *SharedConn[F, S]) Feed(topic string) (feed F, here bool) {
	lane.owner.mu.Lock()
	defer lane.owner.mu.Unlock()
	feed, here = lane.feeds[topic]
	return feed, here
}

// Feeds appends the lane's feeds to dst: none once the Lanes are closed.
func (lane *SharedConn[F, S]) Feeds(dst []F) []F {
	lane.owner.mu.Lock()
	defer lane.owner.mu.Unlock()
	if lane.owner.closed {
		return dst
	}
	for _, feed := range lane.feeds {
		dst = append(dst, feed)
	}
	return dst
}

// Len is how many connections are open, for tests and figures.
func (l *SharedConns[F, S]) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// Close closes all connections and waits until nobody serves them any more.
// Feeds that are left are told domain.ErrClosed or what their connection says.
func (l *SharedConns[F, S]) Close() error {
	l.mu.Lock()
	l.closed = true
	var faults error
	for _, lane := range l.conns {
		if err := lane.Conn.Close(); err != nil {
			faults = fmt.Errorf("close a shared connection: %w", err)
		}
	}
	l.mu.Unlock()
	l.running.Wait()
	return faults
}
