package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/internal/defaults"
	"github.com/fanfarebus/fanfare/internal/metric"
)

// What a [Config] has where nothing else is said.
const (
	DefaultReplayTimeout = 10 * time.Second
	DefaultRetryMin      = 50 * time.Millisecond
	DefaultRetryMax      = 2 * time.Second
)

// Config tunes a [Router]. The zero Config is good.
type Config struct {
	Rules envelope.Rules // how entries are decoded
	// Replayer, if the transport has a log, serves sessions that resume from
	// before the window. ReplayTimeout bounds each reading; default
	// DefaultReplayTimeout.
	Replayer      Replayer
	ReplayTimeout time.Duration
	// RetryMin and RetryMax are the first and the longest pause, before jitter,
	// when the broker does not confirm; default DefaultRetryMin and
	// DefaultRetryMax.
	RetryMin, RetryMax time.Duration
	// Tracer, if set, records what becomes of messages whose traces are recorded.
	Tracer domain.Tracer
	Logger *slog.Logger // default: discard
}

func (c Config) withDefaults() Config {
	defaults.Set(&c.RetryMin, DefaultRetryMin)
	if c.RetryMax < c.RetryMin {
		c.RetryMax = max(c.RetryMin, DefaultRetryMax)
	}
	defaults.Set(&c.ReplayTimeout, DefaultReplayTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Stats count what a Router has passed on since it was made.
type Stats struct {
	Entries uint64 // records read
	Poison  uint64 // of these, the ones that nobody can decode
	Panics  uint64 // entries that caused a panic
	Feeds   int    // open now
}

// A Router feeds streams from a Watermill subscriber: it implements
// [stream.Source]. It is safe for concurrent use.
type Router struct {
	sub    message.Subscriber
	topics domain.Topics
	cfg    Config
	wm     *message.Router

	reading turns // who may read a log again

	entries, poison, panics atomic.Uint64
	delay                   metric.Histogram // from when the log took records to when they were read

	mu         sync.Mutex // guards what follows, and is held while handlers are added
	subs       map[*stream.Stream]*subscription
	generation int
	ctx        context.Context // of Run; nil before
}

var _ stream.Source = (*Router)(nil)

// New returns a Router that consumes from the batch face of a transport, whose
// messages carry entries ([domain.EntriesFrom]). The subscriber remains the
// caller's.
func New(sub message.Subscriber, topics domain.Topics, cfg Config) (*Router, error) {
	cfg = cfg.withDefaults()
	wm, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, logger(cfg.Logger))
	if err != nil {
		return nil, fmt.Errorf("router: %w", err)
	}
	r := &Router{sub: sub, topics: topics, cfg: cfg, wm: wm, subs: make(map[*stream.Stream]*subscription)}
	// A Watermill Router ends with its last handler. This one never ends.
	wm.AddConsumerHandler("permanent", "", silence{}, func(*message.Message) error { return nil })
	return r, nil
}

// Open begins to feed s. It returns at once; the stream is given a Start entry
// when the broker has confirmed. Feeds that are opened before Run start with it.
func (r *Router) Open(s *stream.Stream) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx != nil && r.ctx.Err() != nil {
		return fmt.Errorf("router: open %s: %w", s.System(), domain.ErrClosed)
	}
	r.generation++
	sub := newSubscription(r, s)
	r.subs[s] = sub
	name := fmt.Sprintf("%s#%d", s.System(), r.generation) // Watermill panics if a name is used twice
	r.wm.AddConsumerHandler(name, r.topics.Topic(s.System()), sub, sub.handle)
	return r.runHandlers()
}

// Close ends the feed of s, and returns when nothing more is delivered.
func (r *Router) Close(s *stream.Stream) {
	r.mu.Lock()
	sub := r.subs[s]
	delete(r.subs, s)
	r.mu.Unlock()
	if sub != nil {
		sub.close()
	}
}

// Run consumes until ctx ends, and returns nil when all messages are handled
// then. If the Watermill Router ends by itself, Run returns an error: the node
// receives nothing more and must not continue.
func (r *Router) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.wm.Run(ctx) }()
	select {
	case <-r.wm.Running():
	case err := <-ended:
		return fatal(ctx, err)
	}
	if err := r.started(ctx); err != nil {
		cancel()
		<-ended
		return err
	}
	return fatal(ctx, <-ended)
}

func fatal(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil:
		err = errors.New("all handlers stopped")
	}
	return fmt.Errorf("router: the Watermill router ended by itself: %w", err)
}

// started lets Open run handlers itself from now on, and runs those that were
// opened between Watermill's start and now.
func (r *Router) started(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ctx = ctx
	return r.runHandlers()
}

func (r *Router) runHandlers() error {
	if r.ctx == nil {
		return nil // Run will do it
	}
	if err := r.wm.RunHandlers(r.ctx); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	return nil
}

// Stats returns what the Router has counted.
func (r *Router) Stats() Stats {
	r.mu.Lock()
	feeds := len(r.subs)
	r.mu.Unlock()
	return Stats{Entries: r.entries.Load(), Poison: r.poison.Load(), Panics: r.panics.Load(), Feeds: feeds}
}

// silence is the permanent handler's subscriber. It never delivers anything.
type silence struct{}

func (silence) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	ch := make(chan *message.Message)
	context.AfterFunc(ctx, func() { close(ch) })
	return ch, nil
}

func (silence) Close() error { return nil }

// logger lowers Watermill's log lines by one level: what it tells as news is
// for debugging here.
func logger(log *slog.Logger) watermill.LoggerAdapter {
	log = log.With("part", "watermill")
	return tracer{log: log, LoggerAdapter: watermill.NewSlogLoggerWithLevelMapping(log, map[slog.Level]slog.Level{
		slog.LevelInfo:  slog.LevelDebug,
		slog.LevelDebug: slog.LevelDebug - 4,
	})}
}

// A tracer makes nothing of traces that are not logged. Watermill has two for each
// message, and its own adapter would convert their fields first.
type tracer struct {
	watermill.LoggerAdapter
	log *slog.Logger
}

// Trace logs a trace if anybody wants it.
func (t tracer) Trace(msg string, fields watermill.LogFields) {
	if t.log.Enabled(context.Background(), watermill.LevelTrace) {
		t.LoggerAdapter.Trace(msg, fields)
	}
}

// With returns a tracer that adds the fields to each line.
func (t tracer) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return tracer{t.LoggerAdapter.With(fields), t.log}
}
