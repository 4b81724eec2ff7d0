package plane

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/internal/pause"
)

const (
	changesEvery = time.Second     // how often sessions are told who came and went
	statusEvery  = time.Second     // how often the node is asked how it is, at most
	failedMax    = 5 * time.Second // longest pause after a message that was not published
)

// Run reads and publishes until ctx has ended and then [Node.Ended] is closed; then it says
// that the node has ended, which takes no longer than Config.PublishTimeout and what a
// publish may take. Commands that wait then return. Run returns nil, and is called once.
func (p *Plane) Run(ctx context.Context, n Node) error {
	p.readyAt.Store(int64(time.Since(p.born) + p.cfg.ReadyWithin))
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	for i, bus := range p.buses {
		r := &reader{p: p, bus: bus, trouble: p.reading[i]}
		work.Go(func() { r.follow(working) })
	}
	l := &loop{p: p, node: n, messages: make(chan []byte), results: make(chan error, 1)}
	work.Go(func() { l.send(working) })
	if p.cfg.Control.Events != nil {
		work.Go(func() { p.speak(working) })
	}
	l.run(ctx, func() { l.answer(working, &work) })
	l.leave()
	close(p.done)
	stop()
	work.Wait()
	return nil
}

// A loop does for Run what is due with time, and publishes. Its fields belong to the
// goroutine of Run, except where a comment says otherwise.
type loop struct {
	p    *Plane
	node Node

	messages chan []byte // to the goroutine of send
	results  chan error  // from it: what became of each message; has room for one
	inFlight bool        // a message is with send

	answers atomic.Int32 // questions of other nodes that are being answered

	sent        time.Time     // when the last message was handed to send
	failed      time.Duration // pause after a failure; 0 after a success
	statusSince time.Time     // when the node was last asked how it is
	changes     time.Time     // when sessions were last told who came and went
	soon        *time.Timer   // fires when the next message may be published
}

// send publishes one message after the other.
func (l *loop) send(ctx context.Context) {
	for {
		select {
		case payload := <-l.messages:
			_, err := l.p.out.PublishRaw(ctx, l.p.topic, payload)
			l.results <- err // there is room: the next message comes after the result was taken
		case <-ctx.Done():
			return
		}
	}
}

// run works until ctx has ended and the sessions are gone. It calls answer when other nodes
// may have asked something.
func (l *loop) run(ctx context.Context, answer func()) {
	tick := time.NewTicker(l.p.cfg.Interval)
	defer tick.Stop()
	l.soon = time.NewTimer(l.p.cfg.Interval)
	defer l.soon.Stop()
	for done, ended := ctx.Done(), l.node.Ended(); done != nil; {
		select {
		case <-tick.C:
			l.tick()
		case <-l.p.wake:
		case <-l.soon.C:
		case err := <-l.results:
			l.settle(err)
		case <-done:
			done, ended = ended, nil
		}
		l.askStatus()
		answer()
		l.publish()
		l.p.tell()
	}
}

// tick does what is due with time.
func (l *loop) tick() {
	now := l.p.tick()
	if now.Sub(l.changes) < changesEvery {
		return
	}
	l.changes = now
	for _, c := range l.p.takeChanges() {
		l.node.PresenceChanged(c)
	}
}

func (p *Plane) tick() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.machine.Tick(now)
	p.checkBacklog(now)
	return p.born.Add(now.Mono)
}

func (p *Plane) takeChanges() []control.Change {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Changes()
}

// askStatus passes on how the node is, now and then and when that has changed.
func (l *loop) askStatus() {
	now := time.Now()
	select {
	case <-l.p.status:
	default:
		if now.Sub(l.statusSince) < max(statusEvery, l.p.cfg.Control.Heartbeat/2) {
			return
		}
	}
	l.statusSince = now
	status := l.node.Status()
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.p.machine.SetStatus(l.p.now(), status)
}

// publish does what facts demand, and then hands the next message to send if it may.
func (l *loop) publish() {
	l.act()
	if l.p.retry.Swap(false) {
		l.failed = 0
	}
	if l.inFlight {
		return
	}
	if wait := max(l.p.pace(), l.failed) - time.Since(l.sent); wait > 0 {
		l.soon.Reset(wait)
		return
	}
	if payload := l.flush(); payload != nil {
		l.messages <- payload // send is idle
		l.inFlight, l.sent = true, time.Now()
	}
}

// answerPace is how much faster messages follow one another while another node waits for
// facts: a hundred thousand are some hundred messages.
const answerPace = 4

// pace is the least time from one message to the next.
func (p *Plane) pace() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.machine.Answering() {
		return p.cfg.Interval / answerPace
	}
	return p.cfg.Interval
}

// act does to the sessions what facts demand.
func (l *loop) act() {
	for {
		effects := l.p.takeEffects()
		if len(effects) == 0 {
			return
		}
		l.perform(effects)
	}
}

func (p *Plane) takeEffects() []control.Effect {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Effects()
}

// flush returns the next message, nil if there is none. It says nothing of facts whose
// effects are not done.
func (l *loop) flush() []byte {
	for {
		effects, payload := l.p.flush()
		if len(effects) == 0 {
			return payload
		}
		l.perform(effects)
	}
}

// flush returns the next message, or what has to be done before there can be one.
func (p *Plane) flush() ([]control.Effect, []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if effects := p.machine.Effects(); len(effects) > 0 {
		return effects, nil
	}
	return nil, p.machine.Flush(p.now())
}

// perform does what facts demand, and logs which sessions it has closed.
func (l *loop) perform(effects []control.Effect) {
	for _, e := range effects {
		if closed := l.performOne(e); closed > 0 {
			l.p.cfg.Logger.Info("a command has closed sessions of this node", "command", e.ID,
				"kind", string(e.Key.Kind), "name", e.Key.Name, "sessions", closed)
		}
	}
}

// performOne does what one fact demands, and returns how many sessions were closed.
func (l *loop) performOne(e control.Effect) (closed int) {
	switch e.Key.Kind {
	case control.Disconnect:
		return l.node.Disconnect(e.Key.Name, e.Value)
	case control.DisconnectSession:
		if l.node.DisconnectSession(e.Key.Name, e.Value) {
			return 1
		}
		return 0
	case control.RevokeToken:
		return l.node.ReviewToken(e.Key.Name)
	case control.Rebalance:
		if e.Key.Name == l.p.cfg.Control.Incarnation {
			l.node.Rebalance(e.Value)
		}
		return 0
	default:
		return l.node.Review(e.Key.Name)
	}
}

// settle notes what became of the message that was handed to send.
func (l *loop) settle(err error) {
	l.inFlight = false
	l.p.mu.Lock()
	l.p.machine.Published(l.p.now(), err == nil)
	l.p.mu.Unlock()
	l.p.writing.note(err)
	l.failed = 0
	if err != nil {
		l.failed = pause.Jitter(min(max(2*l.failed, 2*l.p.cfg.Interval), failedMax))
	}
}

// tell wakes the commands that wait, so that they look at their outcome again.
func (p *Plane) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// leave says that the node has ended, unless the bus is down.
func (l *loop) leave() {
	l.p.mu.Lock()
	down := l.p.busDown
	l.p.machine.Leave(l.p.now())
	l.p.mu.Unlock()
	if down {
		return
	}
	over := time.NewTimer(l.p.cfg.PublishTimeout)
	defer over.Stop()
	for {
		if !l.inFlight {
			payload := l.flush()
			if payload == nil {
				return
			}
			l.messages <- payload
			l.inFlight = true
		}
		select {
		case err := <-l.results:
			l.settle(err)
			if err != nil && !outlasts(over, l.p.cfg.Interval) {
				return
			}
		case <-over.C:
			return
		}
	}
}

// outlasts waits for d, and reports whether over has not fired meanwhile.
func outlasts(over *time.Timer, d time.Duration) bool {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-over.C:
		return false
	}
}
