package cluster

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/test/internal/faulty"
	"github.com/fanfarebus/fanfare/test/internal/pipes"
)

// A Status is the state of a node. All but [Stopped] are what the node itself
// reports at /readyz.
type Status string

// The states of a node. The load balancer sends clients only to nodes that are
// Ready, as long as there is one.
const (
	Starting Status = "starting"
	Ready    Status = "ready"
	Draining Status = "draining"
	Deaf     Status = "deaf"    // the bus answers, but its messages do not reach the node
	Stopped  Status = "stopped" // the node does not run
)

// A Node is one node of a cluster: a [fanfare.Node] with a listener of its own.
type Node struct {
	c     *Cluster
	index int
	name  string

	mu      sync.Mutex
	running *running // nil if stopped; guarded by mu
}

// running is a node from one start to the next stop.
type running struct {
	node   *fanfare.Node
	link   *faulty.Link
	listen *pipes.Listener
	server *http.Server
	end    context.CancelFunc
	ran    chan struct{}  // closed when node.Run has returned
	ended  sync.WaitGroup // goroutines of node and server
	cutOff bool           // a fault separates it from the bus; guarded by Node.mu
}

// Name returns the node's name, which clients are told when they connect.
func (n *Node) Name() string { return n.name }

// URL returns the node's address, for [Cluster.HTTP] and [Cluster.Dial].
func (n *Node) URL() string {
	return urlScheme + net.JoinHostPort(host, strconv.Itoa(basePort+1+n.index))
}

// Embedded returns the running node, or nil if it is stopped.
func (n *Node) Embedded() *fanfare.Node {
	if r := n.now(); r != nil {
		return r.node
	}
	return nil
}

func (n *Node) now() *running {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running
}

// Start starts a node that was stopped, and waits until it is ready. While the
// bus is down a node is ready at once. Start does nothing if the node runs.
func (n *Node) Start() {
	n.c.t.Helper()
	if n.now() != nil {
		return
	}
	r := &running{link: n.c.bus.Link(), ran: make(chan struct{})}
	options := &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: withoutTime}
	log := slog.New(slog.NewTextHandler(logWriter{n.c.tl, n.name}, options))
	node, err := fanfare.New(context.Background(), n.c.cfg.settings(n.name),
		fanfare.WithDriver(r.link.Driver()), fanfare.WithLogger(log))
	if err != nil {
		n.c.t.Fatalf("cluster: %s does not start: %v", n.name, err)
	}
	n.run(r, node)
	n.c.tl.add(n.name, "started")
	n.WaitFor(Ready)
}

// withoutTime removes the time of a log line, since the timeline has its own.
func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func (n *Node) run(r *running, node *fanfare.Node) {
	ctx, end := context.WithCancel(context.Background())
	r.node, r.end, r.listen = node, end, n.c.net.Listen(n.name)
	r.server = &http.Server{Handler: node, ReadHeaderTimeout: 10 * time.Second}
	r.ended.Go(func() { _ = r.server.Serve(r.listen) }) // ends with Close
	r.ended.Go(func() {
		defer close(r.ran)
		if err := node.Run(ctx); err != nil {
			n.c.tl.add(n.name, "ended: %v", err)
		}
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.running = r
}

// takeRunning marks the node as stopped, and returns what was running.
func (n *Node) takeRunning() *running {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.running
	n.running = nil
	return r
}

// Crash stops the node at once: its connections break, and it tells nobody.
// Clients reconnect by themselves, to other nodes or once it is started again.
func (n *Node) Crash() {
	r := n.takeRunning()
	if r == nil {
		return
	}
	n.c.tl.add(n.name, "crashes")
	r.link.Part()
	r.listen.Cut()
	r.stop()
}

// Drain stops the node as SIGTERM does: the node tells its clients to go, one
// after the other within its drain time, and ends. Drain returns when the node
// has ended.
func (n *Node) Drain() {
	r := n.now()
	if r == nil {
		return
	}
	n.c.tl.add(n.name, "drains")
	r.end()
	<-r.ran
	n.takeRunning()
	r.stop()
	n.c.tl.add(n.name, "has drained")
}

func (r *running) stop() {
	r.end()
	_ = r.server.Close()
	r.ended.Wait()
	r.link.Heal() // ends calls that wait for a fault to end
}

// Partition separates the node from the bus in both directions, as a split
// network does. The node cannot publish, receives nothing, and knows that its bus
// is down. By design it keeps its clients and stays ready.
func (n *Node) Partition() { n.fault("is cut off the bus", (*faulty.Link).Part) }

// Deafen keeps the bus's messages from the node, while the bus still answers.
// That is half a partition, in which no connection breaks. Within about six
// seconds the node is [Deaf], and the load balancer sends it no more clients.
func (n *Node) Deafen() { n.fault("hears the bus no more", (*faulty.Link).Deafen) }

func (n *Node) fault(what string, begin func(*faulty.Link)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running != nil {
		n.c.tl.add(n.name, "%s", what)
		n.running.cutOff = true
		begin(n.running.link)
	}
}

// Heal ends the faults that [Node.Partition] and [Node.Deafen] began.
func (n *Node) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r := n.running; r != nil && r.cutOff {
		n.c.tl.add(n.name, "has the bus again")
		r.cutOff = false
		r.link.Heal()
	}
}

func (n *Node) isCutOff() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running == nil || n.running.cutOff
}

// isLate reports whether a message that Delay holds up is still on its way to the
// node.
func (n *Node) isLate(system string) bool {
	r := n.now()
	return r != nil && n.c.bus.Delays(n.c.topics.Topic(n.c.system(system)), r.link)
}

// health is the answer of /readyz.
type health struct {
	Status Status
	Bus    string
}

func (n *Node) health() (h health) {
	node := n.Embedded()
	if node == nil {
		return health{Status: Stopped}
	}
	r := httptest.NewRequest(http.MethodGet, urlScheme+host+"/readyz", nil)
	r.RemoteAddr = host + ":1"
	w := httptest.NewRecorder()
	node.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &h); err != nil {
		return health{Status: Status(w.Body.String())}
	}
	return h
}

// Status returns the node's state.
func (n *Node) Status() Status { return n.health().Status }

// BusUp reports whether the node says that its bus is up.
func (n *Node) BusUp() bool { return n.health().Bus == "up" }

// WaitFor waits until the node is in a state.
func (n *Node) WaitFor(want Status) {
	n.c.t.Helper()
	n.wait("it is "+string(want), func(h health) bool { return h.Status == want })
}

// WaitForBus waits until the node says that its bus is up, or that it is down.
func (n *Node) WaitForBus(up bool) {
	n.c.t.Helper()
	state := map[bool]string{true: "up", false: "down"}[up]
	n.wait("its bus is "+state, func(h health) bool { return h.Bus == state })
}

// wait asks the node for its health until enough accepts it.
func (n *Node) wait(what string, enough func(health) bool) {
	n.c.t.Helper()
	ctx, cancel := n.c.patience()
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		h := n.health()
		if enough(h) {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			n.c.t.Fatalf("cluster: waited %v until of %s %s; it is %s, its bus %s\n%s",
				n.c.cfg.patience, n.name, what, h.Status, h.Bus, n.c.tl.of(n.name))
		}
	}
}
