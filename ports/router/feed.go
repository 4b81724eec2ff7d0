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

// A feed is one stream's subscription. To the Watermill Router it is a
// Subscriber that never waits.
type feed struct {
	r      *Router
	stream *stream.Stream

	cancel  context.CancelFunc
	ctx     context.Context // ends with close
	started atomic.Bool
	done    chan struct{} // closed when pump has returned

	unconfirmed    rate.Sometimes // bounds the log lines on a bus that does not confirm; pump's alone
	poison         rate.Sometimes // bounds the log lines on poison; the handler's alone
	poisonUnlogged int            // records since the last of these lines; the handler's alone

	backfillNext bool     // a Backfill is read next, not a Lookup; readBacklog's alone
	refusals     refusals // readBacklog's alone
}

func newFeed(r *Router, s *stream.Stream) *feed {
	ctx, cancel := context.WithCancel(context.Background())
	return &feed{
		r: r, stream: s, ctx: ctx, cancel: cancel, done: make(chan struct{}),
		poison:      rate.Sometimes{First: 3, Interval: 10 * time.Second},
		unconfirmed: rate.Sometimes{First: 1, Interval: time.Minute},
		refusals:    refusals{limit: rate.Sometimes{First: 3, Interval: 10 * time.Second}},
	}
}

// Refusals bound the log lines on cursors that sessions cannot resume from:
// clients can forge as many as they like.
type refusals struct {
	limit    rate.Sometimes
	unlogged int // refusals since the last line
}

func (r *refusals) log(log *slog.Logger, level slog.Level, what string, args ...any) {
	r.unlogged++
	r.limit.Do(func() {
		log.Log(context.Background(), level, what, append(args, "since_last_line", r.unlogged)...)
		r.unlogged = 0
	})
}

// Subscribe registers the feed and returns at once. The channel delivers when
// the broker has confirmed.
func (f *feed) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(f.ctx, cancel)
	out := make(chan *message.Message)
	f.started.Store(true)
	go func() {
		defer close(f.done)
		defer close(out)
		defer stop()
		defer cancel()
		var backlog sync.WaitGroup
		defer backlog.Wait()
		backlog.Go(func() { f.readBacklog(ctx, topic) })
		f.pump(ctx, topic, out)
	}()
	return out, nil
}

// Close is part of Watermill's Subscriber and does nothing: a feed ends when
// either of its contexts ends.
func (f *feed) Close() error { return nil }

// close ends the feed and waits until it has delivered its last message.
func (f *feed) close() {
	f.cancel()
	if f.started.Load() {
		<-f.done
	}
}

// pump subscribes until it succeeds and passes messages on, one at a time,
// until ctx ends. If the subscription ends by itself, pump subscribes again.
func (f *feed) pump(ctx context.Context, topic string, out chan<- *message.Message) {
	backoff := pause.Backoff{Min: f.r.cfg.RetryMin, Max: f.r.cfg.RetryMax}
	for ctx.Err() == nil {
		in, err := f.r.sub.Subscribe(ctx, topic)
		if errors.Is(err, domain.ErrClosed) {
			return
		}
		if err != nil {
			f.unconfirmed.Do(func() {
				f.r.cfg.Logger.WarnContext(ctx, "the bus does not confirm: nobody hears this system; trying again",
					"system", f.stream.System().String(), "topic", topic, "error", err)
			})
			backoff.Wait(ctx)
			continue
		}
		backoff.Reset()
		forward(ctx, in, out)
		pause.For(ctx, pause.Jitter(f.r.cfg.RetryMin)) // it ended by itself: do not try again at once
	}
}

// forward passes on what comes in, each message when the one before was acked
// or nacked.
func forward(ctx context.Context, in <-chan *message.Message, out chan<- *message.Message) {
	for msg := range in {
		select {
		case out <- msg:
		case <-ctx.Done():
			msg.Nack()
			return
		}
		// The handler acks or nacks every message that it gets, so this ends.
		select {
		case <-msg.Acked():
		case <-msg.Nacked():
		}
	}
}

// handle brings the entries of one Watermill message to the stream. It never
// fails.
func (f *feed) handle(msg *message.Message) error {
	entries, _ := domain.EntriesFrom(msg.Context())
	for i := range entries {
		f.step(&entries[i])
	}
	return nil
}

// step decodes an entry and gives it to the stream.
func (f *feed) step(e *domain.Entry) {
	defer f.recover(e)
	var m *domain.Message
	switch e.Kind {
	case domain.Record:
		f.r.entries.Add(1)
		var err error
		if m, err = envelope.Decode(e, f.r.cfg.Rules); err != nil {
			m = nil
			f.r.poison.Add(1)
			f.complain(e, err)
		}
	case domain.MovedAway:
		f.r.cfg.Logger.Error("the bus was moved, and this node is not set up to follow: "+
			"clients are told a gap; start it again with both buses",
			"system", f.stream.System().String())
	}
	f.stream.Step(e, m)
}

// recover keeps a panic that one entry causes from taking the others with it.
func (f *feed) recover(e *domain.Entry) {
	if p := recover(); p != nil {
		f.r.panics.Add(1)
		f.r.cfg.Logger.Error("a message caused a panic; it is passed over",
			"system", f.stream.System().String(), "position", hex.EncodeToString([]byte(e.Position)),
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

// complain logs that a record cannot be decoded, within bounds.
func (f *feed) complain(e *domain.Entry, err error) {
	f.poisonUnlogged++
	f.poison.Do(func() {
		f.r.cfg.Logger.Warn("a message cannot be read; it is passed over",
			"system", f.stream.System().String(), "position", hex.EncodeToString([]byte(e.Position)),
			"bytes", len(e.Body), "error", err, "since_last_line", f.poisonUnlogged)
		f.poisonUnlogged = 0
	})
}
