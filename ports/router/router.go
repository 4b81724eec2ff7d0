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
)

// Config tunes a Router. The zero Config is good.
type Config struct {
	Rules envelope.Rules // how entries are read
	// Replayer, if the transport has a log, serves sessions that resume from
	// before the window. ReplayTimeout bounds each reading; default 10 s.
	Replayer      Replayer
	ReplayTimeout time.Duration
	RetryMin      time.Duration // first pause when the broker does not confirm, jittered; default 50 ms
	RetryMax      time.Duration // longest pause; default 2 s
	Logger        *slog.Logger  // default: discard
}

func (c Config) withDefaults() Config {
	if c.RetryMin <= 0 {
		c.RetryMin = 50 * time.Millisecond
	}
	if c.RetryMax < c.RetryMin {
		c.RetryMax = max(c.RetryMin, 2*time.Second)
	}
	if c.ReplayTimeout <= 0 {
		c.ReplayTimeout = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Stats count what a Router has passed on since it was made.
type Stats struct {
	Entries uint64 // records read
	Poison  uint64 // of these, not decodable
	Panics  uint64 // of these, with a panic on their way
	Feeds   int    // open now
}

// A Router feeds streams from a Watermill subscriber. It is safe for
// concurrent use.
type Router struct {
	sub    message.Subscriber
	topics domain.Topics
	cfg    Config
	wm     *message.Router

	reading turns // for logs that are read again

	entries, poison, panics atomic.Uint64

	mu         sync.Mutex // guards what follows, and is held while handlers are added
	feeds      map[*stream.Stream]*feed
	generation int
	ctx        context.Context // of Run; nil before
}

var _ stream.Source = (*Router)(nil)

// New returns a Router over the batch face of a transport, which remains the
// caller's: its messages carry entries (domain.EntriesFrom).
func New(sub message.Subscriber, topics domain.Topics, cfg Config) (*Router, error) {
	cfg = cfg.withDefaults()
	wm, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, logger(cfg.Logger))
	if err != nil {
		return nil, fmt.Errorf("router: %w", err)
	}
	r := &Router{sub: sub, topics: topics, cfg: cfg, wm: wm,
		feeds: make(map[*stream.Stream]*feed)}
	// A Watermill Router whose last handler ends, ends with it. This one stays.
	wm.AddConsumerHandler("permanent", "", silence{}, func(*message.Message) error { return nil })
	return r, nil
}

// Open begins to feed s. It returns at once; s.Begin is called when the broker
// has confirmed. Feeds opened before Run start with it.
func (r *Router) Open(s *stream.Stream) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx != nil && r.ctx.Err() != nil {
		return fmt.Errorf("router: open %s: %w", s.System(), domain.ErrClosed)
	}
	r.generation++
	f := newFeed(r, s)
	r.feeds[s] = f
	name := fmt.Sprintf("%s#%d", s.System(), r.generation) // a name is never used twice: Watermill panics
	r.wm.AddConsumerHandler(name, r.topics.Topic(s.System()), f, f.handle)
	return r.runHandlers()
}

// Close ends what Open began, and returns when nothing more is delivered.
func (r *Router) Close(s *stream.Stream) {
	r.mu.Lock()
	f := r.feeds[s]
	delete(r.feeds, s)
	r.mu.Unlock()
	if f != nil {
		f.close()
	}
}

// Run consumes until ctx ends; then it returns nil when all is handled. If
// the Watermill Router ends by itself, Run returns an error: the node is deaf
// and must not go on.
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

// started lets Open run handlers itself from now on, and runs those that came
// between Watermill's start and now.
func (r *Router) started(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ctx = ctx
	return r.runHandlers()
}

func (r *Router) runHandlers() error {
	if r.ctx == nil {
		return nil // Run will
	}
	if err := r.wm.RunHandlers(r.ctx); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	return nil
}

// Stats returns what the Router has counted.
func (r *Router) Stats() Stats {
	r.mu.Lock()
	feeds := len(r.feeds)
	r.mu.Unlock()
	return Stats{Entries: r.entries.Load(), Poison: r.poison.Load(), Panics: r.panics.Load(), Feeds: feeds}
}

// silence is the permanent handler's subscriber: it never says anything.
type silence struct{}

func (silence) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	ch := make(chan *message.Message)
	context.AfterFunc(ctx, func() { close(ch) })
	return ch, nil
}

func (silence) Close() error { return nil }

// logger makes Watermill's chatter debugging.
func logger(log *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(log.With("part", "watermill"), map[slog.Level]slog.Level{
		slog.LevelInfo:  slog.LevelDebug,
		slog.LevelDebug: slog.LevelDebug - 4,
	})
}
