package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A Viewer lets an operator look at what this node reads of a system. It is safe for
// concurrent use.
type Viewer interface {
	// View has show called for each entry from now on, until stop: see [stream.Stream.Tap],
	// which says what show must not do. It may wait for the bus for a moment.
	View(ctx context.Context, system domain.System, show func(*stream.Seen)) (stop func(), err error)
}

const watchPath = "/v1/systems/{system}/watch"

// Bounds of watching.
const (
	maxWatches    = 32      // at a time
	maxTargets    = 20      // of one
	watchEvents   = 1000    // that wait for the client
	watchBytes    = 1 << 20 // likewise, but one event of any size
	watchTick     = time.Second
	watchIdle     = 15 * time.Second // after which a comment shows that the stream is alive
	keyEvery      = 10 * time.Second // how often the API key is looked at again
	sessionsEvery = 2 * time.Second  // how often all nodes are asked for the user's sessions
)

// watching is a route of its own, since its answer does not end.
var watching = route{
	method: http.MethodGet, path: watchPath, scope: "admin", alone: true, query: []string{"to", "data"},
	about: about{
		id: "watchSystem", tag: tagWho, summary: "Watch what a node reads of a system",
		text: "A stream of events (text/event-stream), each with one JSON object: the messages of the system " +
			"as this node reads them, from now on. With to, only those for these targets. With " +
			"to=user:NAME alone, also those for everyone and for the rooms of the user's sessions, these " +
			"sessions as they come and go, and what became of each message for them. What a slow client " +
			"has no room for is counted in an event skipped.",
	},
}

// watch answers GET /v1/systems/{system}/watch.
func (a *API) watch(w http.ResponseWriter, req *http.Request) {
	c := &call{api: a, control: a.cfg.Control, ctx: req.Context(), from: req.RemoteAddr}
	p := c.admit(&watching, req)
	var v *view
	if p == nil {
		v, p = c.newView(req)
	}
	switch {
	case p != nil:
	case a.cfg.Viewer == nil:
		p = problem(http.StatusNotImplemented, "this node cannot be watched")
	case a.watches.Add(1) > maxWatches:
		a.watches.Add(-1)
		p = problem(http.StatusTooManyRequests, "too many watch this node already: try again later")
	default:
		defer a.watches.Add(-1)
		p = v.serve(w, req)
	}
	if p != nil {
		a.decline(w, p)
	}
}

// newView reads what the request wants to see.
func (c *call) newView(req *http.Request) (*view, *Problem) {
	v := &view{call: c, wake: make(chan struct{}, 1)}
	values, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return nil, fault("query", "it cannot be read: use % and two hexadecimal digits for special characters")
	}
	var wrong faults
	for name, list := range values {
		switch {
		case strings.HasPrefix(name, "_"):
		case name == "to" && len(list) <= maxTargets:
			for _, text := range list {
				target, err := domain.ParseTarget(text)
				if err != nil {
					wrong.add("", domain.At("to", err))
				}
				v.to = append(v.to, target)
			}
		case name == "to":
			wrong.add("", &domain.FieldError{Path: name, Problem: "too many targets"})
		case name == "data" && len(list) == 1 && (list[0] == "true" || list[0] == "false"):
			v.data = list[0] == "true"
		case name == "data":
			wrong.add("", &domain.FieldError{Path: name, Problem: "want true or false"})
		default:
			wrong.add("", &domain.FieldError{Path: name, Problem: "unknown parameter: want to, data"})
		}
	}
	wrong.sort()
	if p := wrong.because(undone); p != nil {
		return nil, p
	}
	if len(v.to) == 1 {
		if name, is := strings.CutPrefix(v.to[0].String(), domain.KindUser+":"); is {
			v.user = name
		}
	}
	v.hear(nil)
	return v, nil
}

// A view is one request that watches. What is shown to it waits in a queue for the
// request's goroutine, which writes.
type view struct {
	*call
	to   []domain.Target
	user string // of whom everything is shown; "" if it is not one user
	data bool

	wake chan struct{} // holds a token while something waits

	mu      sync.Mutex             // guards all below; it is taken with the stream's lock held
	targets map[domain.Target]bool // those that are shown; nil: all
	queue   [][]byte               // events without their frame
	bytes   int                    // of those
	skipped int                    // events for which there was no room
	due     []fateOf               // messages of the user whose fate is to be asked for
	left    int                    // messages whose fate is not asked for
}

// hear makes the rooms and sessions of the user those that are shown, too.
func (v *view) hear(sessions []control.SessionInfo) {
	if len(v.to) == 0 {
		return
	}
	targets := make(map[domain.Target]bool)
	add := func(t domain.Target, err error) {
		if err == nil { // names are those of sessions, but another node may say anything
			targets[t] = true
		}
	}
	for _, t := range v.to {
		targets[t] = true
	}
	if v.user != "" {
		targets[domain.Everyone] = true
	}
	for _, s := range sessions {
		add(domain.SessionTarget(s.ID))
		for _, in := range s.Systems {
			if in.System != v.system.String() {
				continue
			}
			for _, room := range slices.Concat(in.Rooms, in.Assigned) {
				add(domain.RoomTarget(room))
			}
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.targets = targets
}

// show is called by the stream.
func (v *view) show(e *stream.Seen) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.targets != nil && !v.matches(e) {
		return
	}
	if v.full() {
		v.skipped++
		return
	}
	v.put(seenEvent(e, v.data))
	if v.user != "" && e.Message != nil {
		v.await(e)
	}
}

// matches reports whether an entry is shown. Gaps always are. The caller holds mu.
func (v *view) matches(e *stream.Seen) bool {
	if e.Message == nil {
		return e.What == stream.Interrupted
	}
	return slices.ContainsFunc(e.Message.To, func(t domain.Target) bool { return v.targets[t] })
}

func (v *view) full() bool { return len(v.queue) >= watchEvents || v.bytes >= watchBytes }

// put lets an event wait. The caller holds mu.
func (v *view) put(event []byte) {
	v.queue = append(v.queue, event)
	v.bytes += len(event)
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// tell lets an event wait that does not come from the stream. There are few of them.
func (v *view) tell(event any) {
	text, err := json.Marshal(event)
	if err != nil { // no event can fail
		v.api.cfg.Logger.Error("an event cannot be written", "error", err)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.full() {
		v.skipped++
		return
	}
	v.put(text)
}

// take returns what waits.
func (v *view) take() (queue [][]byte, skipped int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	queue, skipped = v.queue, v.skipped
	v.queue, v.bytes, v.skipped = nil, 0, 0
	return queue, skipped
}

// serve writes until the client goes or the node drains. The problem says why it did not
// begin.
func (v *view) serve(w http.ResponseWriter, req *http.Request) *Problem {
	ctx, cancel := context.WithCancel(req.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	stop, err := v.api.cfg.Viewer.View(ctx, v.system, v.show)
	switch {
	case errors.Is(err, domain.ErrNotServed):
		return notServed(v.system)
	case err != nil:
		return problem(http.StatusServiceUnavailable, "the system cannot be read now: try again later")
	}
	defer stop()
	v.api.count(http.StatusOK)
	out := &eventStream{w: w, control: http.NewResponseController(w), time: v.api.cfg.AnswerTime}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	if req.Method == http.MethodHead {
		return nil
	}
	v.tell(watchBegun{Op: "watching", Node: v.api.node.Health().Node, System: v.system.String()})
	if v.user != "" {
		work.Go(func() { v.follow(ctx) })
	}
	v.write(ctx, out)
	return nil
}

// watchBegun is the first event.
type watchBegun struct {
	Op     string `json:"op"`
	Node   string `json:"node"`
	System string `json:"system"`
}

// write writes what waits until ctx ends, a write fails, the node drains, or the API key is
// good no more.
func (v *view) write(ctx context.Context, out *eventStream) {
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	wrote, checked := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.wake:
		case now := <-tick.C:
			if v.api.node.Health().Phase == Draining {
				_ = out.write([]byte(`data: {"op":"goaway"}` + "\n\n"))
				return
			}
			if now.Sub(checked) >= keyEvery {
				if scopes, err := v.api.keys.Authorize(ctx, v.key); err != nil || !scopes.Include(watching.scope) {
					return
				}
				checked = now
			}
			if now.Sub(wrote) < watchIdle {
				break
			}
			if out.write([]byte(": alive\n\n")) != nil {
				return
			}
			wrote = now
		}
		queue, skipped := v.take()
		if len(queue) == 0 && skipped == 0 {
			continue
		}
		if out.write(frames(queue, skipped)) != nil {
			return
		}
		wrote = time.Now()
	}
}

// An eventStream writes events to a client that may be slow.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	time    time.Duration // a client's to take a write
}

func (s *eventStream) write(text []byte) error {
	// An error means that the writer has no deadlines, see Bounded.
	_ = s.control.SetWriteDeadline(time.Now().Add(s.time))
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	if err := s.control.Flush(); err != nil {
		return err
	}
	_ = s.control.SetWriteDeadline(time.Time{}) // in HTTP/2 it would end the idle stream
	return nil
}
