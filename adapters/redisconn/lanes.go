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
const FeedsPerLane = 64

// OwnConnections is how many feeds have a connection of their own unless the
// URL says otherwise: read_connections.
const OwnConnections = 16

// Slots counts the feeds that have a connection of their own. It is safe for
// concurrent use.
type Slots struct {
	most  int32
	taken atomic.Int32
}

// NewSlots returns as many free slots as most says.
func NewSlots(most int) *Slots { return &Slots{most: int32(min(most, math.MaxInt32))} }

// Take takes a slot, if one is free. Whoever has it calls release; a second
// call of release does nothing.
func (s *Slots) Take() (release func(), ok bool) {
	if s.taken.Add(1) > s.most {
		s.taken.Add(-1)
		return nil, false
	}
	return sync.OnceFunc(func() { s.taken.Add(-1) }), true
}

// Lanes spread feeds over connections that they share, so that a node which
// follows a thousand topics does not need a thousand connections. F is what the
// driver knows of a feed, S what it keeps for a lane. Lanes are safe for
// concurrent use.
type Lanes[F comparable, S any] struct {
	cfg     LanesConfig[F, S]
	dialing chan struct{} // one token: at most one new lane is being made

	mu     sync.Mutex
	lanes  []*Lane[F, S] // guarded by mu
	closed bool          // guarded by mu

	running sync.WaitGroup // the goroutines of all lanes
}

// LanesConfig says what a driver does with its lanes. All fields are required.
type LanesConfig[F comparable, S any] struct {
	// Dial opens a connection that is logged in.
	Dial func(context.Context) (*Conn, error)
	// State makes what the driver keeps for a lane.
	State func(*Conn) S
	// Serve reads a lane's connection until that ends, and returns why. The lane
	// calls it on a goroutine of its own.
	Serve func(*Lane[F, S]) error
	// End tells a feed why its lane is over. It is called after Serve.
	End func(F, error)
}

// A Lane is one connection that feeds of different topics share.
type Lane[F comparable, S any] struct {
	Conn  *Conn
	State S
	lanes *Lanes[F, S]
	feeds map[string]F // by topic; guarded by lanes.mu
}

// NewLanes returns Lanes without a connection.
func NewLanes[F comparable, S any](cfg LanesConfig[F, S]) *Lanes[F, S] {
	return &Lanes[F, S]{cfg: cfg, dialing: make(chan struct{}, 1)}
}

// Join adds a feed of the topic to a lane, and opens a new one if all that
// could take it are full. Whoever joined calls Leave.
func (l *Lanes[F, S]) Join(ctx context.Context, topic string, feed F) (*Lane[F, S], error) {
	if lane, err := l.joinOpen(topic, feed); lane != nil || err != nil {
		return lane, err
	}
	select {
	case l.dialing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-l.dialing }()
	if lane, err := l.joinOpen(topic, feed); lane != nil || err != nil {
		return lane, err // another feed has opened one meanwhile
	}
	conn, err := l.cfg.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return l.add(conn, topic, feed)
}

// joinOpen joins a lane that is there. It returns nil if there is none with
// room. Two feeds of one topic never share a lane, since the answers name only
// the topic.
func (l *Lanes[F, S]) joinOpen(topic string, feed F) (*Lane[F, S], error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, domain.ErrClosed
	}
	for _, lane := range l.lanes {
		if _, taken := lane.feeds[topic]; !taken && len(lane.feeds) < FeedsPerLane {
			lane.feeds[topic] = feed
			return lane, nil
		}
	}
	return nil, nil
}

// add makes a lane of a new connection and begins to serve it.
func (l *Lanes[F, S]) add(conn *Conn, topic string, feed F) (*Lane[F, S], error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.Close()
		return nil, domain.ErrClosed
	}
	lane := &Lane[F, S]{Conn: conn, State: l.cfg.State(conn), lanes: l, feeds: map[string]F{topic: feed}}
	l.lanes = append(l.lanes, lane)
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
func (l *Lanes[F, S]) remove(lane *Lane[F, S]) map[string]F {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drop(lane)
}

func (l *Lanes[F, S]) drop(lane *Lane[F, S]) map[string]F {
	for i, other := range l.lanes {
		if other == lane {
			l.lanes = slices.Delete(l.lanes, i, i+1)
			break
		}
	}
	left := lane.feeds
	lane.feeds = nil
	return left
}

// Leave takes the topic's feed off the lane, and says whether it was there. The
// last one to leave closes the connection.
func (lane *Lane[F, S]) Leave(topic string, feed F) bool {
	l := lane.lanes
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, here := lane.feeds[topic]; !here || at != feed {
		return false
	}
	delete(lane.feeds, topic)
	if len(lane.feeds) == 0 {
		l.drop(lane)
		_ = lane.Conn.Close()
	}
	return true
}

// Feed returns the topic's feed on this lane.
func (lane *Lane[F, S]) Feed(topic string) (feed F, here bool) {
	lane.lanes.mu.Lock()
	defer lane.lanes.mu.Unlock()
	feed, here = lane.feeds[topic]
	return feed, here
}

// Feeds appends the lane's feeds to dst: none once the Lanes are closed.
func (lane *Lane[F, S]) Feeds(dst []F) []F {
	lane.lanes.mu.Lock()
	defer lane.lanes.mu.Unlock()
	if lane.lanes.closed {
		return dst
	}
	for _, feed := range lane.feeds {
		dst = append(dst, feed)
	}
	return dst
}

// Len is how many connections are open, for tests and figures.
func (l *Lanes[F, S]) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lanes)
}

// Close closes all connections and waits until nobody serves them any more.
// Feeds that are left are told domain.ErrClosed or what their connection says.
func (l *Lanes[F, S]) Close() error {
	l.mu.Lock()
	l.closed = true
	var faults error
	for _, lane := range l.lanes {
		if err := lane.Conn.Close(); err != nil {
			faults = fmt.Errorf("close a shared connection: %w", err)
		}
	}
	l.mu.Unlock()
	l.running.Wait()
	return faults
}
