package redisconn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/domain"
)

const (
	// maxRedirects is how often a request follows a topic from one server of a
	// cluster to the next before it fails.
	maxRedirects = 5
	// reloadInterval is how often at most a cluster is asked which master holds which
	// topic.
	reloadInterval = 100 * time.Millisecond
	// refreshInterval is after what time it is asked again although nothing seems wrong.
	refreshInterval = 5 * time.Second
)

// Masters are the servers that hold topics: a single server, or the masters of a
// Redis Cluster. Masters find the one that holds a topic, and have a client for each
// to publish with. They are safe for concurrent use.
type Masters struct {
	server  *Server
	router  *redis.Client   // see Client
	loading chan struct{}   // holds a token while the cluster is being asked for its slots
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc

	mu        sync.Mutex
	closed    bool                     // guarded by mu
	clients   map[string]*redis.Client // by address, "" without a cluster; guarded by mu
	slots     *slotMap                 // nil until the cluster was asked; guarded by mu
	loaded    time.Time                // when it last replied; guarded by mu
	stale     bool                     // something is not as slots says; guarded by mu
	refreshed time.Time                // when it last replied, or refresh was started; guarded by mu

	running sync.WaitGroup // counts pings and refreshes; Add under mu while not closed
}

// NewMasters returns the Masters of a server or of a cluster. It connects to
// nothing. The caller closes them.
func NewMasters(s *Server) *Masters {
	m := &Masters{server: s, loading: make(chan struct{}, 1), clients: make(map[string]*redis.Client)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	if s.cluster {
		m.router = newRouter(m)
	} else {
		m.router = s.Client()
		m.clients[""] = m.router
	}
	return m
}

// Open opens a connection to the server that holds a topic, and calls ask with it.
// If the server replies to ask that another one has the topic, Open tries again
// there. The caller closes the connection.
func (m *Masters) Open(ctx context.Context, topic string, ask func(*Conn) error) (*Conn, error) {
	addr, err := m.Find(ctx, topic)
	if err != nil {
		return nil, err
	}
	to := target{addr: addr}
	for range maxRedirects + 1 {
		var conn *Conn
		if conn, err = m.dial(ctx, to); err != nil {
			return nil, err
		}
		if err = ask(conn); err == nil {
			return conn, nil
		}
		_ = conn.Close()
		next, ok := m.follow(err, to)
		if !ok {
			return nil, err
		}
		to = next
	}
	return nil, err
}

// Find returns the address of the server that holds a topic; "" without a cluster.
func (m *Masters) Find(ctx context.Context, topic string) (addr string, err error) {
	find, err := m.finder(ctx)
	if err != nil {
		return "", err
	}
	to, err := find(topic)
	return to.addr, err
}

// Dial opens a connection to the server with an address that [Conn.Addr] or
// [Masters.Find] has returned. The caller closes it.
func (m *Masters) Dial(ctx context.Context, addr string) (*Conn, error) {
	return m.dial(ctx, target{addr: addr})
}

func (m *Masters) dial(ctx context.Context, to target) (*Conn, error) {
	conn, err := m.server.dialTarget(ctx, to)
	if err != nil {
		m.doubt()
		return nil, m.naming(to, err)
	}
	return conn, nil
}

// naming adds to an error which server of a cluster it is about.
func (m *Masters) naming(to target, err error) error {
	if !m.server.cluster || err == nil {
		return err
	}
	return fmt.Errorf("the master at %s: %w", to.addr, err)
}

// finder returns a function that finds the server that holds a topic. All calls of
// that function see the cluster as it was at one moment.
func (m *Masters) finder(ctx context.Context) (func(topic string) (target, error), error) {
	if !m.server.cluster {
		return func(string) (target, error) { return target{}, nil }, nil
	}
	slots, err := m.slotMap(ctx)
	if err != nil {
		return nil, err
	}
	return func(topic string) (target, error) {
		slot := slotOf(topic)
		if slots.owners[slot] == "" {
			m.doubt()
			return target{}, fmt.Errorf("%w: no master of the cluster holds slot %d", domain.ErrBusDown, slot)
		}
		return target{addr: slots.owners[slot]}, nil
	}, nil
}

// follow returns where a request goes next after err, the error of the server at
// from. It reports false if err is no redirection.
func (m *Masters) follow(err error, from target) (target, bool) {
	if !m.server.cluster || err == nil {
		return target{}, false
	}
	to, ok := redirection(err, from)
	if ok && to.asking {
		return to, true
	}
	if answer, answered := serverAnswer(err); ok || !answered || hasNoSlot(answer) {
		m.doubt() // the slot has moved for good, or the server has gone
	}
	return to, ok
}

// CheckMember returns an error if the server of a connection has left the cluster, as
// far as is known. Such a server may go on replying, and take subscribers and messages,
// but then it is alone with them.
func (m *Masters) CheckMember(conn *Conn) error {
	if !m.server.cluster {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refreshIfOld()
	if m.slots == nil || slices.Contains(m.slots.nodes, conn.Addr()) {
		return nil
	}
	return hasLeft(conn.Addr())
}

func hasLeft(addr string) error {
	return fmt.Errorf("%w: the server at %s has left the cluster", domain.ErrBusDown, addr)
}

// departed is the identity, but if a client was closed because its server has left the
// cluster, the error of the client becomes that.
func (m *Masters) departed(addr string, err error) error {
	if errors.Is(err, redis.ErrClosed) && !m.isClosed() {
		return hasLeft(addr)
	}
	return err
}

// client returns the client that publishes on a server.
func (m *Masters) client(addr string) (*redis.Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, domain.ErrClosed
	}
	c := m.clients[addr]
	if c == nil {
		c = m.server.clientOf(target{addr: addr})
		m.clients[addr] = c
	}
	return c, nil
}

// isClosed reports whether Close was called.
func (m *Masters) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// Ping asks for a sign of life. A cluster is alive while one of its masters is, for
// the topics of the others may only be on their way to another server.
func (m *Masters) Ping(ctx context.Context) error {
	if !m.server.cluster {
		return m.pingServer(ctx, "")
	}
	slots, err := m.lastSlots(ctx)
	if err != nil {
		return err
	}
	err = m.pingAny(ctx, slots.masters)
	if err == nil || ctx.Err() != nil {
		return err
	}
	now, slotsErr := m.slotMap(ctx)
	if slotsErr != nil || slices.Equal(now.masters, slots.masters) {
		return errors.Join(err, slotsErr)
	}
	return m.pingAny(ctx, now.masters) // others have taken over
}

// pingAny returns nil as soon as one of the servers replies.
func (m *Masters) pingAny(ctx context.Context, addrs []string) error {
	answers := make(chan error, len(addrs))
	for _, addr := range addrs {
		if !m.start(func() { answers <- m.pingServer(ctx, addr) }) {
			return domain.ErrClosed
		}
	}
	var faults []error
	for range addrs {
		err := <-answers
		if err == nil {
			return nil
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// start runs f on a goroutine that Close waits for, unless Close was called.
func (m *Masters) start(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.running.Go(f)
	}
	return !m.closed
}

func (m *Masters) pingServer(ctx context.Context, addr string) error {
	c, err := m.client(addr)
	if err != nil {
		return err
	}
	if err = c.Ping(ctx).Err(); err != nil && ctx.Err() == nil {
		m.doubt()
	}
	return m.naming(target{addr: addr}, m.departed(addr, err))
}

// Close closes the clients. Connections that Open and Dial have returned are closed
// by their owners. Close may be called more than once.
func (m *Masters) Close() error {
	m.cancel()
	err := errors.Join(m.closeClients(), Close(m.router))
	m.running.Wait()
	return err
}

func (m *Masters) closeClients() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	var failed []error
	for addr, c := range m.clients {
		failed = append(failed, Close(c))
		delete(m.clients, addr)
	}
	return errors.Join(failed...)
}
