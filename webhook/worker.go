package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/adapters/loglimit"
	"github.com/fanfarebus/fanfare/internal/defaults"
	"github.com/fanfarebus/fanfare/internal/metric"
	"github.com/fanfarebus/fanfare/internal/pause"
	"github.com/fanfarebus/fanfare/subscriber"
)

// Defaults of a [Config].
const (
	DefaultConcurrency = 16
	DefaultInFlight    = 256
	DefaultRetryMin    = time.Second
	DefaultRetryMax    = time.Minute
)

// MaxEndpoints is the most endpoints that a Worker may have.
const MaxEndpoints = 100

// turnInterval is how often a Worker asks whether it is its turn.
const turnInterval = time.Second

// A Config tunes a Worker. The zero Config is good.
type Config struct {
	// Topic is the template of topic names, as in the nodes' settings.
	Topic string
	// Concurrency is how many requests run at once for one endpoint. Default:
	// DefaultConcurrency.
	Concurrency int
	// InFlight is how many deliveries of one endpoint, system and kind may be taken
	// from the bus and not done yet. Default: DefaultInFlight.
	InFlight int
	// RetryMin and RetryMax are the longest first pause after a failed attempt, and
	// the longest one at all. Defaults: DefaultRetryMin, DefaultRetryMax.
	RetryMin, RetryMax time.Duration
	// Turn reports whether this of several workers delivers; nil: it does. It is
	// asked every second. When the turn is over, requests under way are given up, and
	// whoever has the turn next repeats them.
	Turn func() bool
	// Transport makes the requests; nil: one of the worker's own.
	Transport http.RoundTripper
	// Logger takes what is logged; nil: nothing is.
	Logger *slog.Logger
}

// A Worker delivers to endpoints. It is safe for concurrent use.
type Worker struct {
	cfg     Config
	posters []*poster
}

// New returns a Worker that receives from the buses: one, or two while one is moved to the
// other. It closes neither. The error names everything that is wrong with the endpoints.
func New(buses []subscriber.Bus, endpoints []Endpoint, cfg Config) (*Worker, error) {
	defaults.Set(&cfg.Concurrency, DefaultConcurrency)
	defaults.Set(&cfg.InFlight, DefaultInFlight)
	defaults.Set(&cfg.RetryMin, DefaultRetryMin)
	defaults.Set(&cfg.RetryMax, max(DefaultRetryMax, cfg.RetryMin))
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = slog.New(loglimit.New(cfg.Logger.Handler()))
	if err := Check(endpoints); err != nil {
		return nil, err
	}
	w := &Worker{cfg: cfg}
	for _, e := range endpoints {
		e.withDefaults()
		p, err := newPoster(e, buses, cfg)
		if err != nil {
			return nil, fmt.Errorf("webhook %s: %w", e.Name, err)
		}
		w.posters = append(w.posters, p)
	}
	return w, nil
}

// Check returns everything that is wrong with endpoints.
func Check(endpoints []Endpoint) error {
	var faults []error
	if len(endpoints) > MaxEndpoints {
		faults = append(faults, fmt.Errorf("at most %d webhooks, got %d", MaxEndpoints, len(endpoints)))
	}
	names := make(map[string]bool)
	for i := range endpoints {
		e := &endpoints[i]
		if err := e.Check(); err != nil {
			faults = append(faults, fmt.Errorf("webhook %.64q: %w", e.Name, err))
		}
		if names[e.Name] {
			faults = append(faults, fmt.Errorf("webhook %.64q: the name is there twice", e.Name))
		}
		names[e.Name] = true
	}
	return errors.Join(faults...)
}

// Run delivers until ctx ends, and returns nil then, also when all endpoints are gone. It
// returns an error if the bus cannot carry the topics, or is closed.
func (w *Worker) Run(ctx context.Context) error {
	work, running := errgroup.WithContext(ctx)
	for _, p := range w.posters {
		work.Go(func() error {
			err := w.takeTurns(running, p.run)
			if err != nil && running.Err() == nil && !p.gone.Load() {
				return fmt.Errorf("webhook %s: %w", p.Name, err)
			}
			<-running.Done() // an endpoint that is gone ends nothing
			return nil
		})
	}
	if err := work.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// takeTurns calls run while it is this worker's turn, until ctx ends or run does by itself.
func (w *Worker) takeTurns(ctx context.Context, run func(context.Context) error) error {
	if w.cfg.Turn == nil {
		return run(ctx)
	}
	for {
		for !w.cfg.Turn() {
			if !pause.For(ctx, turnInterval) {
				return nil
			}
		}
		turn, end := context.WithCancel(ctx)
		watching := make(chan struct{})
		go func() {
			defer close(watching)
			for w.cfg.Turn() && pause.For(turn, turnInterval) {
			}
			end()
		}()
		err := run(turn)
		over := turn.Err() != nil // the turn is over, or ctx is
		end()
		<-watching
		if !over || ctx.Err() != nil {
			return err
		}
	}
}

// Metrics describes what the worker counts.
func (w *Worker) Metrics() []metric.Metric {
	counts := func(read func(p *poster) int64) func() map[string]int64 {
		return func() map[string]int64 {
			all := make(map[string]int64, len(w.posters))
			for _, p := range w.posters {
				all[p.Name] = read(p)
			}
			return all
		}
	}
	return []metric.Metric{
		metric.PerLabel(metric.Counter, "webhook_delivered_total",
			"Deliveries that the endpoint of the webhook took.", "endpoint",
			counts(func(p *poster) int64 { return p.delivered.Load() })),
		metric.PerLabel(metric.Counter, "webhook_failed_total",
			"Attempts to deliver to the endpoint of the webhook that failed and are repeated.", "endpoint",
			counts(func(p *poster) int64 { return p.failed.Load() })),
		metric.PerLabel(metric.Counter, "webhook_dropped_total",
			"Deliveries to the endpoint of the webhook that were dropped because they were "+
				"older than max_age.", "endpoint",
			counts(func(p *poster) int64 { return p.dropped.Load() })),
		metric.PerLabel(metric.Gauge, "webhook_gone",
			"1 if the endpoint of the webhook answered 410 and gets nothing more, else 0.", "endpoint",
			counts(func(p *poster) int64 {
				if p.gone.Load() {
					return 1
				}
				return 0
			})),
	}
}
