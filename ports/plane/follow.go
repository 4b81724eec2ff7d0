package plane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/time/rate"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/internal/pause"
)

const (
	// backlogRefreshes is how far back the topic is read, in times of
	// control.Config.Refresh: within one of them each fact is said again.
	backlogRefreshes = 3
	// longAge is how far back the topic is read if that was not enough, see
	// reader.shouldLookBack.
	longAge = control.MaxTTL
	// quietFor is how long nothing comes until the backlog counts as read, although its
	// last entry did not come: not every bus hands over every entry.
	quietFor = 2 * time.Second

	retryMin = 50 * time.Millisecond
	retryMax = 2 * time.Second
)

// A backlog is how much of what the buses held is still to be read.
type backlog struct {
	unread int           // buses that have not handed over what they held
	since  time.Duration // Now.Mono when the first of several had
	read   bool          // the machine was told
}

// caughtUp says that a bus has handed over what it held; it has done so before if again is
// set.
func (p *Plane) caughtUp(again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, b := p.now(), &p.backlog
	if !again {
		b.unread--
		b.since = now.Mono
	}
	if b.read || b.unread == 0 {
		b.read = true
		p.machine.Subscribed(now)
	}
}

// checkBacklog stops to wait for a second bus when the first one was read long ago. Call it
// with mu held.
func (p *Plane) checkBacklog(now control.Now) {
	if b := &p.backlog; !b.read && b.unread < len(p.buses) && now.Mono-b.since > quietFor {
		b.read = true
		p.machine.Subscribed(now)
	}
}

// A reader reads the control topic from one bus.
type reader struct {
	p       *Plane
	bus     Bus
	trouble *trouble

	long  bool // begin longAge back the next time
	again bool // the backlog was read once

	// Of the present subscription:
	log  domain.LogID
	tail domain.Position // where the log ended when the subscription began
	live bool            // everything up to tail was read
	last time.Time       // when the log took the last record up to tail that was read
	busy time.Duration   // how long nodes have talked in the records up to tail
}

// follow reads the topic until ctx ends.
func (r *reader) follow(ctx context.Context) {
	backoff := pause.Backoff{Min: retryMin, Max: retryMax}
	for ctx.Err() == nil {
		age := backlogRefreshes * r.p.cfg.Control.Refresh
		if r.long {
			age = max(age, longAge)
		}
		subscription, end := context.WithCancel(ctx)
		in, err := r.bus.BatchesSince(age).Subscribe(subscription, r.p.topic)
		switch {
		case errors.Is(err, domain.ErrClosed):
			end()
			return
		case err != nil:
			end()
			if ctx.Err() == nil {
				r.trouble.note(fmt.Errorf("plane: subscribe to %q: %w", r.p.topic, err))
			}
			backoff.Wait(ctx)
			continue
		}
		backoff.Reset()
		r.trouble.note(nil)
		if lookBack := r.read(in, end); !lookBack {
			pause.For(ctx, pause.Jitter(retryMin)) // it ended by itself: do not try again at once
		}
	}
}

// read takes what comes until in is closed. It ends the subscription, and reports true, if
// another one has to begin further back.
func (r *reader) read(in <-chan *message.Message, end func()) (lookBack bool) {
	defer end()
	r.log, r.tail, r.live, r.last, r.busy = 0, "", false, time.Time{}, 0
	quiet := time.NewTimer(quietFor)
	defer quiet.Stop()
	for told := false; ; {
		select {
		case m, ok := <-in:
			if !ok {
				return lookBack
			}
			if !lookBack {
				batch, _ := domain.EntriesFrom(m.Context())
				r.take(batch)
			}
			m.Ack()
			quiet.Reset(quietFor)
		case <-quiet.C:
			r.live = true
		}
		switch {
		case !r.live || told || lookBack:
		case r.shouldLookBack():
			r.long, lookBack = true, true
			end() // and in will be closed
		default:
			told, r.long = true, false
			r.p.caughtUp(r.again)
			r.again = true
			r.p.nudge()
		}
	}
}

// shouldLookBack reports whether facts may stand in the log before what was read: all nodes
// were gone for a while, so that what is young spans less than they take to say every fact
// again.
func (r *reader) shouldLookBack() bool {
	return r.log != 0 && !r.long && !r.again && r.busy < 2*r.p.cfg.Control.Refresh
}

// take takes a batch.
func (r *reader) take(batch []domain.Entry) {
	for i := range batch {
		r.step(&batch[i])
	}
	r.p.nudge()
}

func (r *reader) step(e *domain.Entry) {
	switch e.Kind {
	case domain.Start:
		r.log, r.tail = e.Log, e.Tail
		r.live = e.Log == 0 || e.Tail == e.Position
		return
	case domain.Gap:
		r.p.gap()
		r.live = r.live || e.Log != r.log // positions in another log say nothing of this tail
		r.log = e.Log
	case domain.Record:
		r.p.receive(e.Body, !r.live)
	}
	if r.live {
		return
	}
	if !r.last.IsZero() {
		r.busy += min(max(e.Time.Sub(r.last), 0), r.p.cfg.Control.DeadAfter)
	}
	r.last, r.live = e.Time, e.Position >= r.tail
}

func (p *Plane) gap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.Gap(p.now())
}

// receive gives the machine a message. Should that cause a panic, the message is passed over.
func (p *Plane) receive(payload []byte, backlog bool) {
	defer func() {
		if fault := recover(); fault != nil {
			p.panics.Add(1)
			p.cfg.Logger.Error("a control message caused a panic; it is passed over",
				"bytes", len(payload), "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
		}
	}()
	if err := p.receiveLocked(payload, backlog); err != nil {
		p.refusals.log(err, len(payload))
	}
}

func (p *Plane) receiveLocked(payload []byte, backlog bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Receive(p.now(), payload, backlog)
}

// refusals bound the log lines on messages that are not believed: whoever may write to the
// bus can make as many as they like.
type refusals struct {
	to    *slog.Logger
	mu    *sync.Mutex
	limit *rate.Sometimes // guarded by mu
}

func newRefusals(log *slog.Logger) refusals {
	return refusals{log, new(sync.Mutex), &rate.Sometimes{First: 3, Interval: 10 * time.Second}}
}

func (r refusals) log(err error, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit.Do(func() {
		r.to.Warn("a control message, or a part of it, is not believed", "bytes", size, "error", err)
	})
}
