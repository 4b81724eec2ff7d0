package router

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/time/rate"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// A subscription feeds one stream. To the Watermill Router it is a Subscriber
// that never waits.
type subscription struct {
	r      *Router
	stream *stream.Stream

	cancel  context.CancelFunc
	ctx     context.Context // ends with close
	started atomic.Bool
	done    chan struct{} // closed when pump has returned

	unconfirmed    rate.Sometimes // bounds the log lines on a bus that does not confirm; pump's alone
	poison         rate.Sometimes // bounds the log lines on poison; the handler's alone
	poisonUnlogged int            // records since the last of these lines; the handler's alone

	backfillNext bool       // a Backfill is read next, not a Lookup; readBacklog's alone
	failures     boundedLog // readBacklog's alone
}

func newSubscription(r *Router, s *stream.Stream) *subscription {
	ctx, cancel := context.WithCancel(context.Background())
	return &subscription{
		r: r, stream: s, ctx: ctx, cancel: cancel, done: make(chan struct{}),
		poison:      rate.Sometimes{First: 3, Interval: 10 * time.Second},
		unconfirmed: rate.Sometimes{First: 1, Interval: time.Minute},
		failures:    boundedLog{limit: rate.Sometimes{First: 3, Interval: 10 * time.Second}},
	}
}

// A boundedLog bounds the log lines on cursors that sessions cannot resume
// from: clients can forge as many as they like.
type boundedLog struct {
	limit    rate.Sometimes
	unlogged int // events since the last line
}

func (r *boundedLog) log(log *slog.Logger, level slog.Level, what string, args ...any) {
	r.unlogged++
	r.limit.Do(func() {
		log.Log(context.Background(), level, what, append(args, "since_last_line", r.unlogged)...)
		r.unlogged = 0
	})
}

// Subscribe registers the subscription and returns at once. The channel delivers when
// the broker has confirmed.
func (sub *subscription) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(sub.ctx, cancel)
	out := make(chan *message.Message)
	sub.started.Store(true)
	go func() {
		defer close(sub.done)
		defer close(out)
		defer stop()
		defer cancel()
		var backlog sync.WaitGroup
		defer backlog.Wait()
		backlog.Go(func() { sub.readBacklog(ctx, topic) })
		sub.pump(ctx, topic, out)
	}()
	return out, nil
}

// Close is part of Watermill's Subscriber and does nothing: a subscription ends
// when either of its contexts ends.
func (sub *subscription) Close() error { return nil }

// close ends the subscription and waits until it has delivered its last message.
func (sub *subscription) close() {
	sub.cancel()
	if sub.started.Load() {
		<-sub.done
	}
}

// pump subscribes until it succeeds and passes messages on until ctx ends. If the
// subscription ends by itself, pump subscribes again.
func (sub *subscription) pump(ctx context.Context, topic string, out chan<- *message.Message) {
	backoff := pause.Backoff{Min: sub.r.cfg.RetryMin, Max: sub.r.cfg.RetryMax}
	for ctx.Err() == nil {
		in, err := sub.r.sub.Subscribe(ctx, topic)
		if errors.Is(err, domain.ErrClosed) {
			return
		}
		if err != nil {
			sub.unconfirmed.Do(func() {
				sub.r.cfg.Logger.WarnContext(ctx, "the bus does not confirm: nobody hears this system; trying again",
					"system", sub.stream.System().String(), "topic", topic, "error", err)
			})
			backoff.Wait(ctx)
			continue
		}
		backoff.Reset()
		forward(ctx, in, out)
		pause.For(ctx, pause.Jitter(sub.r.cfg.RetryMin)) // it ended by itself: do not try again at once
	}
}

// forward passes on what comes in, and returns when all of it was handled. It does
// not wait for an ack before it takes the next message, since the bus does.
func forward(ctx context.Context, in <-chan *message.Message, out chan<- *message.Message) {
	var last *message.Message
	defer func() { waitUntilHandled(last) }()
	for msg := range in {
		select {
		case out <- msg:
			last = msg
		case <-ctx.Done():
			msg.Nack()
			return
		}
	}
}

// waitUntilHandled waits for the ack or nack of a message that the handler has got,
// which always comes. The message may be nil.
func waitUntilHandled(msg *message.Message) {
	if msg == nil {
		return
	}
	select {
	case <-msg.Acked():
	case <-msg.Nacked():
	}
}

// handle brings the entries of one Watermill message to the stream. It never
// fails.
func (sub *subscription) handle(msg *message.Message) error {
	entries, _ := domain.EntriesFrom(msg.Context())
	traced := sub.r.cfg.Tracer != nil && sub.isReady()
	sub.observeDelays(entries)
	for i := range entries {
		sub.step(&entries[i], traced)
	}
	return nil
}

// observeDelays counts how late records were read, if the bus says when it took them.
// What a log held before the subscription began is not late.
func (sub *subscription) observeDelays(entries []domain.Entry) {
	if !sub.isReady() {
		return
	}
	var last time.Duration
	n := uint64(0) // records that were as late as the last one
	for i := range entries {
		e := &entries[i]
		if e.Kind != domain.Record || e.Time.IsZero() || e.Read.IsZero() {
			continue
		}
		if d := e.Read.Sub(e.Time); d != last && n > 0 {
			sub.r.delay.Observe(last, n)
			last, n = d, 0
		} else {
			last = d
		}
		n++
	}
	if n > 0 {
		sub.r.delay.Observe(last, n)
	}
}

// isReady reports whether the stream has come to what was the log's tail when the
// subscription began.
func (sub *subscription) isReady() bool {
	select {
	case <-sub.stream.Ready():
		return true
	default:
		return false
	}
}

// step decodes an entry and gives it to the stream. Traced says whether spans are made.
func (sub *subscription) step(e *domain.Entry, traced bool) {
	defer sub.recover(e)
	var m *domain.Message
	switch e.Kind {
	case domain.Record:
		sub.r.entries.Add(1)
		var err error
		if m, err = envelope.Decode(e, sub.r.cfg.Rules); err != nil {
			m = nil
			sub.r.poison.Add(1)
			sub.complain(e, err)
		}
	case domain.MovedAway:
		sub.r.cfg.Logger.Error("the bus was moved, and this node is not set up to follow: "+
			"clients are told a gap; start it again with both buses",
			"system", sub.stream.System().String())
	}
	if traced && m != nil && domain.IsSampled(m.Traceparent) {
		sub.trace(e, m)
		return
	}
	sub.stream.Step(e, m)
}

// trace gives a message to the stream and records what became of it.
func (sub *subscription) trace(e *domain.Entry, m *domain.Message) {
	d := domain.Delivery{
		System: sub.stream.System(), Topic: sub.r.topics.Topic(sub.stream.System()),
		Traceparent: m.Traceparent, Size: len(m.Data), Read: e.Read,
	}
	if d.Read.IsZero() {
		d.Read = time.Now()
	}
	d.Outcome = sub.stream.Step(e, m)
	d.ID, d.Done = m.ID, time.Now() // the stream has given it an id if it had none
	sub.r.cfg.Tracer.Deliver(d)
}

// recover keeps a panic that one entry causes from taking the others with it.
func (sub *subscription) recover(e *domain.Entry) {
	if p := recover(); p != nil {
		sub.r.panics.Add(1)
		sub.r.cfg.Logger.Error("a message caused a panic; it is passed over",
			"system", sub.stream.System().String(), "position", hex.EncodeToString([]byte(e.Position)),
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

// complain logs that a record cannot be decoded, within bounds.
func (sub *subscription) complain(e *domain.Entry, err error) {
	sub.poisonUnlogged++
	sub.poison.Do(func() {
		sub.r.cfg.Logger.Warn("a message cannot be read; it is passed over",
			"system", sub.stream.System().String(), "position", hex.EncodeToString([]byte(e.Position)),
			"bytes", len(e.Body), "error", err, "since_last_line", sub.poisonUnlogged)
		sub.poisonUnlogged = 0
	})
}
