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

// A Status is where a node is in its life. All but Stopped are what it says
// itself, at /readyz.
type Status string

// The states of a node. The load balancer sends clients to Ready ones only,
// while there is one.
const (
	Starting Status = "starting"
	Ready    Status = "ready"
	Draining Status = "draining"
	Deaf     Status = "deaf"    // the bus answers, but its messages do not come
	Stopped  Status = "stopped" // it does not run
)

// A Node is one node: a fanfare.Node behind its own listener.
type Node struct {
	c     *Cluster
	index int
	name  string

	mu      sync.Mutex
	running *running // nil if stopped; guarded by mu
}

// running is a node's life from a start to the next stop.
type running struct {
	node   *fanfare.Node
	link   *faulty.Link
	listen *pipes.Listener
	server *http.Server
	end    context.CancelFunc
	ran    chan struct{} // closed when the node has ended
	ended  sync.WaitGroup
	cutOff bool // from the bus; guarded by Node.mu
}

// Name is what the node is called, in hello too.
func (n *Node) Name() string { return n.name }

// URL is the node's address, for Cluster.HTTP and Dial.
func (n *Node) URL() string {
	return urlScheme + net.JoinHostPort(host, strconv.Itoa(basePort+1+n.index))
}

// Embedded returns the node as it runs now; nil if it does not.
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

// Start starts a node that was stopped, and waits until it is ready; while the
// bus is down that is at once. A node that runs is left alone.
func (n *Node) Start() {
	n.c.t.Helper()
	if n.now() != nil {
		return
	}
	r := &running{link: n.c.bus.Link(), ran: make(chan struct{})}
	log := slog.New(slog.NewTextHandler(logWriter{n.c.tl, n.name}, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: timeless}))
	g, err := fanfare.New(context.Background(), n.c.cfg.settings(n.name), fanfare.WithDriver(r.link.Driver()), fanfare.WithLogger(log))
	if err != nil {
		n.c.t.Fatalf("cluster: %s does not start: %v", n.name, err)
	}
	n.run(r, g)
	n.c.tl.add(n.name, "started")
	n.WaitFor(Ready)
}

// timeless leaves out when something was logged: the timeline says so.
func timeless(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func (n *Node) run(r *running, g *fanfare.Node) {
	ctx, end := context.WithCancel(context.Background())
	r.node, r.end, r.listen = g, end, n.c.net.Listen(n.name)
	r.server = &http.Server{Handler: g, ReadHeaderTimeout: 10 * time.Second}
	r.ended.Go(func() { _ = r.server.Serve(r.listen) }) // ends with Close
	r.ended.Go(func() {
		defer close(r.ran)
		if err := g.Run(ctx); err != nil {
			n.c.tl.add(n.name, "ended: %v", err)
		}
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.running = r
}

// take takes the node out of the running.
func (n *Node) take() *running {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.running
	n.running = nil
	return r
}

// Crash takes the node away at once: its connections break and nobody is told
// anything. Clients come back by themselves, elsewhere or once it is started
// again.
func (n *Node) Crash() {
	r := n.take()
	if r == nil {
		return
	}
	n.c.tl.add(n.name, "crashes")
	r.link.Part()
	r.listen.Cut()
	r.stop()
}

// Drain stops the node as SIGTERM does: it tells each client to go, in its own
// time, and ends. It returns when the node has ended.
func (n *Node) Drain() {
	r := n.now()
	if r == nil {
		return
	}
	n.c.tl.add(n.name, "drains")
	r.end()
	<-r.ran
	n.take()
	r.stop()
	n.c.tl.add(n.name, "has drained")
}

func (r *running) stop() {
	r.end()
	_ = r.server.Close()
	r.ended.Wait()
	r.link.Heal() // nothing of it waits any more
}

// Partition cuts the node off the bus, and the bus off the node, as a network
// does that is split: it cannot publish, hears nothing, and knows it. It keeps
// its clients and stays ready, by design, while it says that its bus is down.
func (n *Node) Partition() { n.fault("is cut off the bus", (*faulty.Link).Part) }

// Deafen lets the bus's messages no longer reach the node, while the bus still
// answers: half a partition, the kind that nobody is told of. Within some six
// seconds the node is Deaf, and gets no more clients.
func (n *Node) Deafen() { n.fault("hears the bus no more", (*faulty.Link).Deafen) }

func (n *Node) fault(what string, how func(*faulty.Link)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running != nil {
		n.c.tl.add(n.name, "%s", what)
		n.running.cutOff = true
		how(n.running.link)
	}
}

// Heal ends what Partition and Deafen began.
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

// isLate says that the node has yet to hear something that Delay holds up.
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
	g := n.Embedded()
	if g == nil {
		return health{Status: Stopped}
	}
	r := httptest.NewRequest(http.MethodGet, urlScheme+host+"/readyz", nil)
	r.RemoteAddr = host + ":1"
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &h); err != nil {
		return health{Status: Status(w.Body.String())}
	}
	return h
}

// Status returns how the node is now.
func (n *Node) Status() Status { return n.health().Status }

// BusUp says whether the node reaches its bus, as it saw last.
func (n *Node) BusUp() bool { return n.health().Bus == "up" }

// WaitFor waits until the node is in a state.
func (n *Node) WaitFor(want Status) {
	n.c.t.Helper()
	n.wait("it is "+string(want), func(h health) bool { return h.Status == want })
}

// WaitForBus waits until the node says that its bus is up, or down.
func (n *Node) WaitForBus(up bool) {
	n.c.t.Helper()
	state := map[bool]string{true: "up", false: "down"}[up]
	n.wait("its bus is "+state, func(h health) bool { return h.Bus == state })
}

// wait asks the node until it has the right answer.
func (n *Node) wait(what string, enough func(health) bool) {
	n.c.t.Helper()
	ctx, cancel := n.c.patience()
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		h := n.health()
		if enough(h) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			n.c.t.Fatalf("cluster: waited %v until of %s %s; it is %s, its bus %s\n%s",
				n.c.cfg.patience, n.name, what, h.Status, h.Bus, n.c.tl.of(n.name))
		}
	}
}
