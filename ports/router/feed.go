package router

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/time/rate"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/domain/stream"
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

	deaf     rate.Sometimes // bounds those on a bus that does not confirm; pump's alone
	warn     rate.Sometimes // bounds the log lines on poison
	unlogged int            // poison since the last line; the handler's alone

	backfills bool     // it is their turn; readAgain's alone
	refusals  refusals // readAgain's alone
}

func newFeed(r *Router, s *stream.Stream) *feed {
	ctx, cancel := context.WithCancel(context.Background())
	return &feed{
		r: r, stream: s, ctx: ctx, cancel: cancel, done: make(chan struct{}),
		warn: rate.Sometimes{First: 3, Interval: 10 * time.Second},
		deaf: rate.Sometimes{First: 1, Interval: time.Minute},

		refusals: refusals{limit: rate.Sometimes{First: 3, Interval: 10 * time.Second}},
	}
}

// Refusals bound the log lines on what clients ask for that cannot be: their
// cursors may be forged, as many as they like.
type refusals struct {
	limit    rate.Sometimes
	unlogged int // since the last line
}

func (r *refusals) log(log *slog.Logger, level slog.Level, what string, args ...any) {
	r.unlogged++
	r.limit.Do(func() {
		log.Log(context.Background(), level, what, append(args, "since_last_line", r.unlogged)...)
		r.unlogged = 0
	})
}

// Subscribe registers and returns at once; the channel begins to speak when
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
		var again sync.WaitGroup
		defer again.Wait()
		again.Go(func() { f.readAgain(ctx, topic) })
		f.pump(ctx, topic, out)
	}()
	return out, nil
}

// Close is Watermill's; the feed ends with its contexts.
func (f *feed) Close() error { return nil }

// close ends the feed and waits until it has delivered its last.
func (f *feed) close() {
	f.cancel()
	if f.started.Load() {
		<-f.done
	}
}

// pump subscribes until it succeeds and passes messages on, one at a time,
// until ctx ends. A subscription that ends by itself is begun again.
func (f *feed) pump(ctx context.Context, topic string, out chan<- *message.Message) {
	pause := f.r.cfg.RetryMin
	for ctx.Err() == nil {
		in, err := f.r.sub.Subscribe(ctx, topic)
		if errors.Is(err, domain.ErrClosed) {
			return
		}
		if err != nil {
			f.deaf.Do(func() {
				f.r.cfg.Logger.WarnContext(ctx, "the bus does not confirm: nobody hears this system; trying again",
					"system", f.stream.System().String(), "topic", topic, "error", err)
			})
			sleep(ctx, pause)
			pause = min(2*pause, f.r.cfg.RetryMax)
			continue
		}
		pause = f.r.cfg.RetryMin
		forward(ctx, in, out)
		sleep(ctx, pause) // it ended by itself: not at once again
	}
}

// forward passes on what comes in, the next one when the last was settled.
func forward(ctx context.Context, in <-chan *message.Message, out chan<- *message.Message) {
	for msg := range in {
		select {
		case out <- msg:
		case <-ctx.Done():
			msg.Nack()
			return
		}
		// The handler settles every message it gets, so this ends.
		select {
		case <-msg.Acked():
		case <-msg.Nacked():
		}
	}
}

// sleep pauses for about d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d/2 + rand.N(d/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
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

// recover keeps one entry's panic from taking the others with it.
func (f *feed) recover(e *domain.Entry) {
	if p := recover(); p != nil {
		f.r.panics.Add(1)
		f.r.cfg.Logger.Error("a message caused a panic; it is passed over",
			"system", f.stream.System().String(), "position", hex.EncodeToString([]byte(e.Position)),
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

func (f *feed) complain(e *domain.Entry, err error) {
	f.unlogged++
	f.warn.Do(func() {
		f.r.cfg.Logger.Warn("a message cannot be read; it is passed over",
			"system", f.stream.System().String(), "position", hex.EncodeToString([]byte(e.Position)),
			"bytes", len(e.Body), "error", err, "since_last_line", f.unlogged)
		f.unlogged = 0
	})
}
