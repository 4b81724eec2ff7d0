package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/internal/pause"
)

// Run puts a load on nodes and says what became of it. When ctx ends, it stops and
// says what has happened until then. An error means that the load could not be put
// on: a client was not let in, publishing was refused for good, or there are no
// metrics where they were asked for. Then there is no result.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r, err := newRun(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer r.close()
	w := newWatch(r)
	defer w.end()
	res := newResult(cfg, r)
	if err := r.connectAll(ctx, res); err != nil {
		return nil, err
	}
	release, err := r.connectStalled(ctx)
	defer release()
	if err != nil {
		return nil, err
	}
	switch cfg.Scenario {
	case Idle:
		err = r.idle(ctx, w, res)
	case Resume:
		err = r.resume(ctx, w, res)
	default:
		err = r.publish(ctx, w, res)
	}
	if err != nil {
		return nil, err
	}
	res.Interrupted = ctx.Err() != nil
	r.finish(res)
	res.Timeline = w.end()
	return res, nil
}

// A mark is what was counted up to a moment.
type mark struct {
	at             time.Time
	nodes          usage
	own            time.Duration
	onBus, arrived int64
}

func (r *run) mark(ctx context.Context) (mark, error) {
	nodes, err := r.scrape.read(context.WithoutCancel(ctx)) // also when the load was interrupted
	return mark{time.Now(), nodes, ownCPU(), r.onBus.Load(), r.arrived.Load()}, err
}

// dialing is how many clients connect at a time.
const dialing = 128

// connectAll connects all clients for the first time, and measures it.
func (r *run) connectAll(ctx context.Context, res *Result) error {
	before, err := r.mark(ctx)
	if err != nil {
		return err
	}
	if err := r.connect(ctx); err != nil {
		return err
	}
	after, err := r.mark(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	res.connected(r, before, after)
	return err
}

// connect connects all clients, and returns when they have been greeted.
func (r *run) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(dialing, r.cfg.Clients) {
		workers.Go(func() {
			in := bufio.NewReaderSize(nil, 1024)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= r.cfg.Clients || !r.rampTo(ctx, start, i) {
					return
				}
				if err := r.dial(ctx, &r.sessions[i], in); err != nil {
					cancel(fmt.Errorf("client %d was not let in: %w", i, err))
				}
			}
		})
	}
	workers.Wait()
	return r.awaitGreetings(ctx)
}

// rampTo waits until client i may connect. It reports whether ctx is still alive.
func (r *run) rampTo(ctx context.Context, start time.Time, i int) bool {
	if r.cfg.Ramp == 0 {
		return true
	}
	at := start.Add(time.Duration(i) * time.Second / time.Duration(r.cfg.Ramp))
	return pause.For(ctx, time.Until(at))
}

// dial connects one client.
func (r *run) dial(ctx context.Context, s *session, in *bufio.Reader) error {
	h, err := r.handshake(s.index, UserOf(s.index), s.cursor)
	if err != nil {
		return err
	}
	r.mu.Lock()
	s.dialed = r.since()
	r.mu.Unlock()
	conn, err := connect(ctx, h.node, r.cfg.TLS)
	if err != nil {
		return err
	}
	early, err := h.upgrade(conn, in)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.poll.adopt(s, conn); err != nil {
		return errors.Join(err, conn.Close())
	}
	if r.cfg.Protocol == Plain {
		r.greet(s)
	}
	return s.receive(early)
}

// handshake is what client n sends. Its cursor is empty if it does not resume.
func (r *run) handshake(n int, user, cursor string) (h handshake, err error) {
	system := r.cfg.systemOf(n % r.cfg.Systems)
	h = handshake{node: r.nodes[n%len(r.nodes)], query: url.Values{"systems": {system}}}
	for name, values := range h.node.Query() {
		h.query[name] = values
	}
	if r.cfg.Protocol == V1 {
		h.protocol = "fanfare.v1.json"
	}
	if cursor != "" {
		h.query.Set("resume", system+":"+cursor)
	}
	if r.cfg.Token == nil {
		h.query.Set("user", user)
		return h, nil
	}
	h.token, err = r.cfg.Token(user, system)
	return h, err
}

// connectStalled connects the clients that read nothing. release closes them.
func (r *run) connectStalled(ctx context.Context) (release func(), err error) {
	var all []net.Conn
	release = func() {
		for _, conn := range all {
			_ = conn.Close() // nothing was read or written
		}
	}
	in := bufio.NewReaderSize(nil, 1024)
	for i := range r.cfg.Stalled {
		h, err := r.handshake(i, stalledUser(i), "")
		if err != nil {
			return release, err
		}
		conn, err := connect(ctx, h.node, r.cfg.TLS)
		if err != nil {
			return release, err
		}
		all = append(all, conn)
		if _, err := h.upgrade(conn, in); err != nil {
			return release, fmt.Errorf("stalled client %d was not let in: %w", i, err)
		}
	}
	return release, nil
}

// awaitGreetings waits until all clients have been greeted.
func (r *run) awaitGreetings(ctx context.Context) error {
	late, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for r.ready.Load() < int64(r.cfg.Clients) {
		if pause.For(late, time.Millisecond) {
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		return fmt.Errorf("only %d of %d clients were greeted within %v: %v",
			r.ready.Load(), r.cfg.Clients, timeout, r.faults)
	}
	return context.Cause(ctx)
}

// idle lets the clients do nothing for a while.
func (r *run) idle(ctx context.Context, w *watch, res *Result) error {
	w.phase("idle")
	pause.For(ctx, r.cfg.Duration)
	after, err := r.mark(ctx)
	res.rss(after)
	return err
}

// resume cuts all clients off, publishes what they miss, and lets them come back.
func (r *run) resume(ctx context.Context, w *watch, res *Result) error {
	w.phase("away")
	r.dropAll()
	if err := r.awaitGone(ctx, res); err != nil {
		return err
	}
	publishers, release, err := r.openPublishers()
	defer release()
	if err != nil {
		return err
	}
	err = r.work(ctx, publishers, timeout, func(ctx context.Context, p *publisher) error {
		return p.missed(ctx, r.cfg.Missed)
	})
	if err != nil {
		return err
	}
	res.Retries = retriesOf(publishers)
	r.mu.Lock()
	r.missing = make([]int, r.cfg.Clients)
	for i := range r.missing {
		r.missing[i] = int(r.sent[i])
	}
	r.mu.Unlock()
	before, err := r.mark(ctx)
	if err != nil {
		return err
	}
	w.phase("resume")
	if err := r.connect(ctx); err != nil {
		return err
	}
	r.await(ctx)
	after, err := r.mark(ctx)
	res.load(r, before, after)
	return err
}

// awaitGone waits until the nodes have noticed that all clients are gone: by their
// metrics, or, where these are not known, for a time.
func (r *run) awaitGone(ctx context.Context, res *Result) error {
	if r.scrape.nodes() == 0 {
		pause.For(ctx, 2*time.Second)
		return ctx.Err()
	}
	late, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		u, err := r.scrape.read(late)
		if err != nil {
			return err
		}
		if u.sessions <= res.sessionsBefore {
			return nil
		}
		if !pause.For(late, 50*time.Millisecond) {
			return fmt.Errorf("the nodes still have %d sessions, %v after their clients went", u.sessions, timeout)
		}
	}
}

// publish is the load of fan-out and unicast: the warm-up, and then the same again,
// measured. In between everything arrives, so that what the nodes have taken until
// then is for the warm-up alone.
func (r *run) publish(ctx context.Context, w *watch, res *Result) error {
	if n := r.cfg.InFlight / r.cfg.Batch; n > 0 {
		r.slots = make(chan struct{}, n)
		for range n {
			r.slots <- struct{}{}
		}
	}
	publishers, release, err := r.openPublishers()
	defer release()
	if err != nil {
		return err
	}
	w.phase("warm-up")
	if err := r.publishFor(ctx, publishers, r.cfg.WarmUp); err != nil {
		return err
	}
	before, err := r.mark(ctx)
	if err != nil {
		return err
	}
	w.phase(string(r.cfg.Scenario))
	r.from.Store(r.since())
	if err := r.publishFor(ctx, publishers, r.cfg.Duration); err != nil {
		return err
	}
	after, err := r.mark(ctx)
	res.Retries = retriesOf(publishers)
	res.load(r, before, after)
	return err
}

// publishFor publishes for a time, and waits until everything has arrived.
func (r *run) publishFor(ctx context.Context, publishers []*publisher, d time.Duration) error {
	from := r.since()
	stop := ctx // at a rate it ends when all messages that are due are published, or much later
	if r.cfg.Rate == 0 {
		var cancel context.CancelFunc
		stop, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	err := r.work(ctx, publishers, d, func(ctx context.Context, p *publisher) error {
		if r.cfg.Rate == 0 {
			return p.closedLoop(ctx, stop)
		}
		return p.paced(ctx, stop, from, from+int64(d))
	})
	r.await(ctx)
	return err
}

// openPublishers opens all publishers. release closes them.
func (r *run) openPublishers() (opened []*publisher, release func(), err error) {
	var all []*publisher
	release = func() {
		for _, p := range all {
			_ = p.out.Close() // all that was published was confirmed
		}
	}
	for i := range r.publishers {
		out, err := r.outlet(i)
		if err != nil {
			return nil, release, err
		}
		all = append(all, &publisher{run: r, index: i, out: out})
	}
	return all, release, nil
}

// work lets all publishers do something, which should take d. What they are doing when
// ctx ends, or long after d, they may finish.
func (r *run) work(
	ctx context.Context, publishers []*publisher, d time.Duration, do func(context.Context, *publisher) error,
) error {
	ctx, cancel := context.WithTimeout(ctx, d+r.cfg.Wait)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var working sync.WaitGroup
	for _, p := range publishers {
		working.Go(func() {
			if err := do(ctx, p); err != nil {
				fail(err)
			}
		})
	}
	working.Wait()
	if cause := context.Cause(ctx); errors.Is(cause, ErrFinal) {
		return cause
	}
	return nil
}

func retriesOf(publishers []*publisher) (n int) {
	for _, p := range publishers {
		n += p.retries
	}
	return n
}

// outlet opens the way of publisher i to the bus.
func (r *run) outlet(i int) (Outlet, error) {
	if r.cfg.Outlet != nil {
		return r.cfg.Outlet()
	}
	return newHTTPOutlet(r.nodes[i%len(r.nodes)], r.cfg.Key, r.cfg.TLS), nil
}

// interruptedWait is how long an interrupted load waits for what is on its way.
const interruptedWait = time.Second

// await waits until all messages that are on the bus have arrived, at most for Wait.
// If the load was interrupted, it waits a moment only.
func (r *run) await(ctx context.Context) {
	wait := r.cfg.Wait
	if ctx.Err() != nil {
		wait = min(wait, interruptedWait)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	defer cancel()
	for r.arrived.Load() < r.expected() && pause.For(ctx, 2*time.Millisecond) {
	}
}

// expected is how many deliveries there will be of what is on the bus. The publishers
// have ended.
func (r *run) expected() (n int64) {
	clients := r.cfg.Clients
	for to, sent := range r.sent {
		switch {
		case r.cfg.Scenario == FanOut:
			system := r.systemFor(uint32(to))
			n += int64(sent) * int64((clients-system+r.cfg.Systems-1)/r.cfg.Systems)
		case to < clients:
			n += int64(sent)
		}
	}
	return n
}
