package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/internal/faulty"
	"github.com/fanfarebus/fanfare/test/internal/pipes"
)

// A Cluster is a number of nodes on one bus.
type Cluster struct {
	t      T
	cfg    config
	bus    *faulty.Bus
	net    *pipes.Network
	tl     *timeline
	nodes  []*Node
	own    *fanfare.Publisher
	topics domain.Topics
	told   atomic.Bool // a failure has shown what happened to a client

	mu         sync.Mutex
	publishers []*fanfare.Publisher // guarded by mu
	closes     []func() error       // close the buses of publishers and subscribers; guarded by mu
	clients    []*Client            // guarded by mu
	turn       int                  // connections that the load balancer has made; guarded by mu
	fences     int                  // fences sent so far; guarded by mu
	down       bool                 // the bus is down; guarded by mu
}

// Start starts n nodes, named n0, n1 and so on, and waits until all are ready.
// The bus is in memory and keeps a log, see [Lossy] for one that does not.
// Everything ends with the test.
func Start(t T, n int, opts ...Option) *Cluster {
	t.Helper()
	cfg := newConfig(opts)
	c := &Cluster{
		t: t, cfg: cfg, net: pipes.New(), tl: &timeline{start: time.Now()},
		bus: faulty.New(faulty.Config{Memory: cfg.log, Lossy: cfg.lossy, Spare: isOurs}),
	}
	t.Cleanup(c.stop)
	var err error
	if c.topics, err = topics(cfg); err != nil {
		t.Fatalf("cluster: %v", err)
	}
	c.own = c.Publisher()
	for i := range n {
		c.nodes = append(c.nodes, &Node{c: c, index: i, name: fmt.Sprint("n", i)})
		c.nodes[i].Start()
	}
	return c
}

func topics(cfg config) (domain.Topics, error) {
	template := cfg.settings("n0").Topic
	if template == "" {
		template = fanfare.DefaultConfig().Topic
	}
	return domain.ParseTopics(template)
}

// stop ends everything, and logs the timeline if the test has failed.
func (c *Cluster) stop() {
	c.mu.Lock()
	clients, closes := c.clients, c.closes
	c.mu.Unlock()
	for _, one := range clients {
		one.stop()
	}
	var crashes sync.WaitGroup
	for _, n := range c.nodes {
		crashes.Go(n.Crash)
	}
	crashes.Wait()
	for _, shut := range closes {
		if err := shut(); err != nil {
			c.tl.add("", "closing: %v", err)
		}
	}
	c.bus.Close()
	if c.t.Failed() && (len(clients) > 1 || !c.told.Load()) {
		c.t.Logf("what happened in the cluster:\n%s", c.tl.all())
	}
}

// Node returns a node, counted from 0.
func (c *Cluster) Node(i int) *Node {
	c.t.Helper()
	if i < 0 || i >= len(c.nodes) {
		c.t.Fatalf("cluster: there is no node %d: there are %d, from 0", i, len(c.nodes))
	}
	return c.nodes[i]
}

// Nodes returns all nodes.
func (c *Cluster) Nodes() []*Node { return append([]*Node(nil), c.nodes...) }

// Publish publishes messages of a system on the bus, as a service would, and
// returns their ids.
func (c *Cluster) Publish(system string, msgs ...fanfare.Message) (ids []string) {
	c.t.Helper()
	done, err := c.own.Publish(context.Background(), system, msgs...)
	if err != nil {
		c.t.Fatalf("cluster: publish in %s: %v", system, err)
	}
	for _, m := range msgs {
		c.tl.add("", "published in %s: %s to %v", system, briefly(m.ID, m.Type, m.Data), m.To)
	}
	return done.IDs
}

// Publisher returns a service's connection to the bus. The cluster closes it in
// the end; the service may close it before.
func (c *Cluster) Publisher() *fanfare.Publisher {
	c.t.Helper()
	topic := c.cfg.settings("n0").Topic
	p, err := fanfare.NewPublisher(context.Background(), "", topic, fanfare.WithDriver(c.Driver()))
	if err != nil {
		c.t.Fatalf("cluster: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publishers = append(c.publishers, p)
	c.closes = append(c.closes, p.Close)
	return p
}

// Driver returns another connection to the bus, for [fanfare.WithDriver]: for a
// publisher, or for a service that is a node itself. The caller must close it.
func (c *Cluster) Driver() transport.Driver { return c.bus.Link().Driver() }

// Subscriber returns a Watermill subscriber with which a service receives what
// users send. [Cluster.Inbound] returns the topics, and the payloads are
// envelopes. Subscribers with the same group share the messages. Without a group,
// and on a [Lossy] bus, each receives all. The cluster closes it in the end.
func (c *Cluster) Subscriber(group string) message.Subscriber {
	c.t.Helper()
	bus := transport.New(c.Driver(), transport.Config{})
	c.mu.Lock()
	c.closes = append(c.closes, bus.Close)
	c.mu.Unlock()
	if group == "" || c.cfg.lossy {
		return bus
	}
	s, err := bus.Group(group)
	if err != nil {
		c.t.Fatalf("cluster: %v", err)
	}
	return s
}

// Inbound returns the topic on which a system's service receives what users send
// to it.
func (c *Cluster) Inbound(system string) string {
	c.t.Helper()
	return c.topics.Inbound(c.system(system))
}

func (c *Cluster) system(name string) domain.System {
	c.t.Helper()
	s, err := domain.ParseSystem(name)
	if err != nil {
		c.t.Fatalf("cluster: %v", err)
	}
	return s
}

// The addresses of nodes differ in their ports. Nothing listens on these ports.
const (
	host      = "127.0.0.1"
	basePort  = 8000
	urlScheme = "http://"
)

// URL returns the load balancer's address, which [Cluster.HTTP] and
// [Cluster.Dial] understand.
func (c *Cluster) URL() string { return urlScheme + net.JoinHostPort(host, strconv.Itoa(basePort)) }

// HTTP returns a client that reaches the load balancer at [Cluster.URL], and each
// node at [Node.URL]. Any goroutine may use it.
func (c *Cluster) HTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: c.Dial, DisableKeepAlives: true}}
}

// Dial connects to the node with the given address. At the address of
// [Cluster.URL] it connects to one node after the other, as a load balancer does.
// It is for dialers of HTTP and WebSocket clients. Any goroutine may call it.
func (c *Cluster) Dial(ctx context.Context, _, addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	i, err := strconv.Atoi(port)
	switch i -= basePort; {
	case err != nil || i < 0 || i > len(c.nodes):
		return nil, fmt.Errorf("cluster: dial %s: nobody is there: use URL, or a node's", addr)
	case i > 0:
		return c.net.Dial(ctx, c.nodes[i-1].name)
	}
	conn, _, err := c.balance(ctx)
	return conn, err
}

var errNoNode = errors.New("cluster: no node runs")

// balance connects to the next node that is ready or, if none is, to the next
// that runs.
func (c *Cluster) balance(ctx context.Context) (conn net.Conn, to *Node, err error) {
	c.mu.Lock()
	c.turn++
	turn := c.turn
	c.mu.Unlock()
	err = errNoNode
	for _, ready := range []bool{true, false} {
		for i := range c.nodes {
			n := c.nodes[(turn+i-1)%len(c.nodes)]
			if status := n.Status(); status == Stopped || ready && status != Ready {
				continue
			}
			if conn, err = c.net.Dial(ctx, n.name); err == nil {
				return conn, n, nil
			}
		}
	}
	return nil, nil, err
}

// patience returns a context that ends when a wait has taken too long.
func (c *Cluster) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), c.cfg.patience)
}

// isOurs reports whether a payload is no message of the test: a fence, or the
// mark that a publisher writes on a bus without a log when it has been idle.
func isOurs(payload []byte) bool {
	var e struct {
		Type string
		Mark bool
	}
	return json.Unmarshal(payload, &e) == nil && (e.Mark || e.Type == fenceType)
}
