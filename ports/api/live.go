package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	livePath  = "/v1/live"
	liveScope = "admin"

	liveEvery = time.Second     // between two events
	askEvery  = 2 * time.Second // between two questions to the other nodes
	keptFor   = 10 * time.Second

	// maxWatchers is how many may watch at a time. Each costs a connection and an event a
	// second, and all of them together one question to the other nodes.
	maxWatchers = 32
)

// A liveEvent is an event of GET /v1/live.
type liveEvent struct {
	Node   string     `json:"node" doc:"The node that answers."`
	At     time.Time  `json:"at" doc:"By its clock."`
	Alone  bool       `json:"alone,omitempty" doc:"The control plane is off: the node knows of no other."`
	Nodes  []liveNode `json:"nodes"`
	Silent []string   `json:"silent" doc:"Live nodes that have not said lately what they count."`
}

// A liveNode is a live node, and what it counts.
type liveNode struct {
	nodeInfo
	Counts *Counts `json:"counts,omitempty" doc:"Absent while the node has not said it."`
}

// lives is what the watchers of an API share.
type lives struct {
	asker chan struct{} // holds a token while some watcher asks the other nodes
	ended chan struct{} // closed by [API.Close]
	once  sync.Once     // guards ended

	mu       sync.Mutex
	watchers int                // guarded by mu
	others   map[string]counted // by incarnation; guarded by mu
}

// A counted is what another node has said.
type counted struct {
	counts Counts
	at     time.Time
}

func newLives() *lives {
	return &lives{
		asker: make(chan struct{}, 1), ended: make(chan struct{}), others: map[string]counted{},
	}
}

// Close ends the requests that watch. It may be called more than once.
func (a *API) Close() { a.lives.once.Do(func() { close(a.lives.ended) }) }

// enter counts a watcher, if there may be one more.
func (l *lives) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchers == maxWatchers {
		return false
	}
	l.watchers++
	return true
}

func (l *lives) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers--
}

// askOthers asks the other nodes again and again until ctx ends, if no other watcher does.
func (a *API) askOthers(ctx context.Context) {
	select {
	case a.lives.asker <- struct{}{}:
		defer func() { <-a.lives.asker }()
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		a.askOnce(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// askOnce asks the other nodes, and waits as long as one that is silent may be waited for.
func (a *API) askOnce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askEvery)
	defer cancel()
	answers, err := a.cfg.Asker.Ask(ctx, CountsKind, nil)
	if err != nil {
		a.cfg.Logger.Debug("the nodes cannot be asked what they count", "error", err)
		return
	}
	said := map[string]Counts{}
	for _, answer := range answers.From {
		var c Counts
		if answer.Err == "" && json.Unmarshal(answer.Body, &c) == nil {
			said[answer.Incarnation] = c
		}
	}
	a.lives.heard(said, time.Now())
}

// heard notes what nodes have said, and forgets what was said long ago.
func (l *lives) heard(said map[string]Counts, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for incarnation, c := range said {
		l.others[incarnation] = counted{c, now}
	}
	for incarnation, n := range l.others {
		if now.Sub(n.at) > keptFor {
			delete(l.others, incarnation)
		}
	}
}

// of returns what a node has said lately, or nil.
func (l *lives) of(incarnation string, now time.Time) *Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, ok := l.others[incarnation]; ok && now.Sub(n.at) <= keptFor {
		return &n.counts
	}
	return nil
}

// live answers GET /v1/live: one event a second, until the client has had enough.
func (a *API) live(w http.ResponseWriter, r *http.Request) {
	if p := a.mayWatch(r); p != nil {
		a.decline(w, p)
		return
	}
	if !a.lives.enter() {
		a.decline(w, problem(http.StatusServiceUnavailable,
			"too many watch this node: watch another one, or come back later"))
		return
	}
	defer a.lives.leave()
	a.count(http.StatusOK)
	begin(w)
	if r.Method == http.MethodHead {
		return
	}
	ctx, stop := context.WithCancel(r.Context())
	var asking sync.WaitGroup
	defer asking.Wait()
	defer stop()
	if a.cfg.Control != nil {
		asking.Go(func() { a.askOthers(ctx) })
	}
	a.show(ctx, w, r)
}

// mayWatch checks who wants to watch.
func (a *API) mayWatch(r *http.Request) *Problem {
	_, scopes, p := a.scopes(r, "this")
	if p != nil {
		return p
	}
	if !scopes.Include(liveScope) {
		a.recordBadKey(r, "scope", "the key lacks "+liveScope)
		return problem(http.StatusForbidden,
			"this API key may not do that: it needs the scope "+liveScope)
	}
	_, p = parameters(r, nil)
	return p
}

// begin begins an answer that is a stream of events.
func begin(w http.ResponseWriter) {
	// A server that bounds the time of a request would end the stream. An error means that
	// there is no such bound.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy is not to hold events back
	w.WriteHeader(http.StatusOK)
}

// show writes events until the client has gone, the node ends, or the caller's key is not
// good any more.
func (a *API) show(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for a.writeEvent(w, "live", a.now()) == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		case <-a.lives.ended:
			return
		}
		if a.mayWatch(r) != nil {
			return
		}
	}
}

// now returns what there is to see now.
func (a *API) now() liveEvent {
	now := time.Now()
	health := a.node.Health()
	e := liveEvent{
		Node: health.Node, At: now.Truncate(time.Millisecond).UTC(), Nodes: []liveNode{}, Silent: []string{},
	}
	if a.cfg.Control == nil {
		e.Alone = true
		own := nodeInfo{
			Name: health.Node, Version: a.cfg.Version, Self: true, Systems: health.Systems,
			Draining: health.Phase == Draining, InStep: true,
		}
		e.Nodes = append(e.Nodes, liveNode{nodeInfo: own, Counts: a.own()})
		e.Nodes[0].fresh()
		return e
	}
	for _, n := range a.cfg.Control.Nodes() {
		node := liveNode{nodeInfo: describeNode(n)}
		if n.Self {
			node.Counts = a.own()
		} else {
			node.Counts = a.lives.of(n.Incarnation, now)
		}
		if node.fresh(); node.Counts == nil {
			e.Silent = append(e.Silent, n.Name)
		}
		e.Nodes = append(e.Nodes, node)
	}
	slices.Sort(e.Silent)
	return e
}

// own returns what this node counts, or nil if nobody says it.
func (a *API) own() *Counts {
	if a.cfg.Counter == nil {
		return nil
	}
	c := a.cfg.Counter.Counts()
	return &c
}

// fresh replaces what the last heartbeat said by what the node has said since.
func (n *liveNode) fresh() {
	if n.Counts != nil {
		n.Sessions, n.Users = n.Counts.Sessions, n.Counts.Users
	}
}

// writeEvent writes an event of a stream, and gives it the time of an answer.
func (a *API) writeEvent(w http.ResponseWriter, name string, data any) error {
	text, err := json.Marshal(data)
	if err != nil { // no type of an event can fail
		a.cfg.Logger.Error("an event cannot be written", "event", name, "error", err)
		return err
	}
	a.startAnswer(w)
	line := append([]byte("event: "+name+"\ndata: "), text...)
	if _, err := w.Write(append(line, "\n\n"...)); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush()
}
