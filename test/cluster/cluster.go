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

// A Cluster is some nodes on one bus.
type Cluster struct {
	t      T
	cfg    config
	bus    *faulty.Bus
	net    *pipes.Network
	tl     *timeline
	nodes  []*Node
	own    *fanfare.Publisher
	topics domain.Topics
	told   atomic.Bool // a failure said what happened to a client

	mu         sync.Mutex
	publishers []*fanfare.Publisher // guarded by mu
	closes     []func() error       // buses of publishers and subscribers; guarded by mu
	clients    []*Client            // guarded by mu
	turn       int                  // of the load balancer; guarded by mu
	fences     int                  // sent so far; guarded by mu
	down       bool                 // the bus is; guarded by mu
}

// Start starts n nodes, named n0, n1 and so on, on a bus in memory that keeps a
// log, and waits until all are ready. They end with the test.
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

// stop ends everything, and tells of what happened if the test has failed.
func (c *Cluster) stop() {
	c.mu.Lock()
	clients, closes := c.clients, c.closes
	c.mu.Unlock()
	for _, one := range clients {
		one.stop()
	}
	for _, n := range c.nodes {
		n.Crash()
	}
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
	ids, err := c.own.Publish(context.Background(), system, msgs...)
	if err != nil {
		c.t.Fatalf("cluster: publish in %s: %v", system, err)
	}
	for _, m := range msgs {
		c.tl.add("", "published in %s: %s to %v", system, briefly(m.ID, m.Type, m.Data), m.To)
	}
	return ids
}

// Publisher returns a service's connection to the bus. It is closed with the
// cluster, unless the service does so before.
func (c *Cluster) Publisher() *fanfare.Publisher {
	c.t.Helper()
	p, err := fanfare.NewPublisher(context.Background(), "", c.cfg.settings("n0").Topic, fanfare.WithDriver(c.Driver()))
	if err != nil {
		c.t.Fatalf("cluster: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publishers = append(c.publishers, p)
	c.closes = append(c.closes, p.Close)
	return p
}

// Driver returns a connection to the bus of its own, for what is made with
// fanfare.WithDriver: a publisher, or a service that is a node itself. Who makes
// it also closes it.
func (c *Cluster) Driver() transport.Driver { return c.bus.Link().Driver() }

// Subscriber returns a service's Watermill subscriber, for what users send: the
// topics are those that Inbound names, the payloads envelopes. Services that
// name the same group share the messages; without a group, and on a Lossy bus,
// each hears all. It is closed with the cluster.
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

// Inbound returns the topic on which a system's service hears its users.
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

// The addresses of nodes end in a port that tells them apart; nothing listens
// there.
const (
	host      = "127.0.0.1"
	basePort  = 8000
	urlScheme = "http://"
)

// URL is the load balancer's address, which HTTP and Dial understand.
func (c *Cluster) URL() string { return urlScheme + net.JoinHostPort(host, strconv.Itoa(basePort)) }

// HTTP returns a client that reaches the nodes: through the load balancer at
// URL, each alone at Node.URL. It may be used by any goroutine.
func (c *Cluster) HTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: c.Dial, DisableKeepAlives: true}}
}

// Dial connects to a node at its address, or, at the address of URL, to the
// next one whose turn it is. It is for dialers of HTTP and WebSocket clients,
// and may be used by any goroutine.
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

// balance connects to the next node that is ready; if none is, to the next
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

// patience returns a context that ends when waiting is of no use any more.
func (c *Cluster) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), c.cfg.patience)
}

// isOurs says that a payload is nobody's message: a fence, or a mark of a bus
// without a log.
func isOurs(payload []byte) bool {
	var e struct {
		Type string
		Mark bool
	}
	return json.Unmarshal(payload, &e) == nil && (e.Mark || e.Type == fenceType)
}
