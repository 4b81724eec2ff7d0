package subscriber

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/internal/pause"
)

// A job is a message together with what has to be done with it.
type job struct {
	key string // jobs of the same key are done one after the other
	do  func(ctx context.Context, attempt int) error

	message *message.Message
	again   bool // the bus delivers it again if it is not acked
}

// lanes do the jobs of one subscription: those of one key in order, each key on a goroutine
// of its own while it has jobs. There are at most Config.InFlight jobs, so there are at most
// as many goroutines; at most Config.Concurrency of them are in a handler. A job that waits
// to be tried again keeps its place in its lane and no handler.
type lanes struct {
	*receiver
	room     chan struct{} // holds a token for each job
	handlers chan struct{} // holds a token for each handler that runs
	running  sync.WaitGroup

	mu    sync.Mutex
	queue map[string][]job // the jobs of a key that has a goroutine; guarded by mu
}

func newLanes(r *receiver) *lanes {
	return &lanes{
		receiver: r,
		room:     make(chan struct{}, r.cfg.InFlight),
		handlers: make(chan struct{}, r.cfg.Concurrency),
		queue:    make(map[string][]job),
	}
}

// take takes messages until ctx ends or there are no more.
func (l *lanes) take(ctx context.Context, messages <-chan *message.Message) {
	for {
		select {
		case l.room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		select {
		case m, ok := <-messages:
			if !ok {
				return
			}
			l.add(ctx, m)
		case <-ctx.Done():
			return
		}
	}
}

// wait waits until all jobs are done or given up.
func (l *lanes) wait() { l.running.Wait() }

// add puts a message into its lane. It has the room of the message.
func (l *lanes) add(ctx context.Context, m *message.Message) {
	l.counts.received.Add(1)
	l.counts.waiting.Add(1)
	j := l.job(m)
	j.message, j.again = m, l.Shared() && l.bus.Guarantees().AtLeast
	if !l.Shared() {
		m.Ack() // nobody keeps it; the bus brings the next one after the ack
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting, busy := l.queue[j.key]
	l.queue[j.key] = append(waiting, j)
	if !busy {
		l.running.Go(func() { l.work(ctx, j.key) })
	}
}

// job decodes a message.
func (l *lanes) job(m *message.Message) job {
	j, err := l.decode(l.system, m.Payload)
	if err == nil {
		return j
	}
	l.counts.poison.Add(1)
	l.cfg.Logger.Warn("a message cannot be decoded",
		"topic", l.topic, "bytes", len(m.Payload), "error", err)
	p := Poison{System: l.system, Topic: l.topic, Body: m.Payload, Err: err}
	return job{do: func(ctx context.Context, _ int) error { // in the lane ""
		if l.cfg.Poison == nil {
			return nil
		}
		return l.cfg.Poison(ctx, p)
	}}
}

// work does the jobs of a key, until there are none.
func (l *lanes) work(ctx context.Context, key string) {
	for {
		l.mu.Lock()
		jobs := l.queue[key]
		if len(jobs) == 0 {
			delete(l.queue, key)
			l.mu.Unlock()
			return
		}
		j := jobs[0]
		jobs[0] = job{}
		l.queue[key] = jobs[1:]
		l.mu.Unlock()
		l.finish(ctx, j)
		l.counts.waiting.Add(-1)
		<-l.room
	}
}

// finish does a job until it succeeds, ctx ends, or the bus has taken the message back.
func (l *lanes) finish(ctx context.Context, j job) {
	// Pauses end early when the bus takes the message back, to deliver it again.
	pausing, cancel := context.WithCancel(ctx)
	defer cancel()
	if j.again {
		defer context.AfterFunc(j.message.Context(), cancel)()
	}
	backoff := pause.Backoff{Min: l.cfg.RetryMin, Max: l.cfg.RetryMax}
	for attempt := 1; pausing.Err() == nil; attempt++ {
		err := l.try(ctx, j, attempt)
		if err == nil {
			l.counts.acked.Add(1)
			j.message.Ack()
			return
		}
		if ctx.Err() != nil {
			break
		}
		l.counts.failed.Add(1)
		l.cfg.Logger.Warn("a handler failed; the message comes again",
			"topic", l.topic, "group", l.group, "attempt", attempt, "error", err)
		alive := false
		if after, ok := retryAfter(err); ok {
			alive = pause.For(pausing, after)
		} else {
			alive = backoff.Wait(pausing)
		}
		if !alive {
			break
		}
	}
	// The message stays without an answer: the end of the subscription gives it back.
}

// try calls the handler once, when one may run.
func (l *lanes) try(ctx context.Context, j job, attempt int) error {
	select {
	case l.handlers <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.handlers }()
	return j.do(ctx, attempt)
}
