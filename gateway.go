package fanfare

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/router"
	"github.com/fanfarebus/fanfare/ports/session"
)

// sweepEvery is how often windows are aged and idle systems let go.
const sweepEvery = 5 * time.Second

// A Gateway is a node: it consumes systems and delivers to the sessions it
// holds. It is safe for concurrent use.
type Gateway struct {
	cfg    Config
	log    *slog.Logger
	bus    bus
	hub    *stream.Hub
	router *router.Router
	desk   *session.Desk
	out    *Publisher
	status *status
	public http.Handler
	admin  http.Handler

	release func()
	once    sync.Once
}

// ServeHTTP serves clients and publishers: /ws, /sse, /v1/…, /healthz, /readyz and,
// without Config.AdminListen, what AdminHandler serves.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.public.ServeHTTP(w, r) }

// Handler returns the Gateway as an http.Handler, to be mounted at the root of
// a server or, with http.StripPrefix, below a path.
func (g *Gateway) Handler() http.Handler { return g }

// AdminHandler serves /metrics, /docs and /openapi.json, for the listener of
// Config.AdminListen.
func (g *Gateway) AdminHandler() http.Handler { return g.admin }

// Publish sends messages of a system through the node's own connection to the
// bus; see Publisher.Publish.
func (g *Gateway) Publish(ctx context.Context, system string, msgs ...Message) (ids []string, err error) {
	return g.out.Publish(ctx, system, msgs...)
}

// Run consumes and delivers until ctx ends. Then it drains: it tells every
// session to go, each in its own time, over Config.Drain, and returns nil when
// all are gone. Any other end is an error, and fatal: the node is of no use
// any more. Run is called once; it closes the Gateway.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.Close()
	// The node works on while it drains, so its parts end later than ctx.
	parts, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	work, parts := errgroup.WithContext(parts)
	work.Go(func() error { return g.router.Run(parts) })
	work.Go(func() error { return g.bus.Run(parts, g.busChanged) })
	work.Go(func() error { return g.desk.Run(parts) })
	work.Go(func() error { return g.sweep(parts) })
	work.Go(func() error {
		if err := g.hub.Start(); err != nil {
			return err
		}
		g.status.started()
		select {
		case <-ctx.Done():
			defer end()
			return g.drain(parts)
		case <-parts.Done():
			return nil
		}
	})
	if err := work.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("fanfare: node %s: %w", g.cfg.Node, err)
	}
	return nil
}

// Close lets go of the bus. Run does it too; it is for a Gateway that was not
// run. It is idempotent.
func (g *Gateway) Close() error {
	g.once.Do(g.release)
	return nil
}

func (g *Gateway) busChanged(up bool) {
	g.hub.SetBusUp(up)
	g.desk.SetBusUp(up)
}

func (g *Gateway) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			g.hub.Sweep()
		case <-ctx.Done():
			return nil
		}
	}
}

func (g *Gateway) drain(ctx context.Context) error {
	g.status.draining()
	g.log.Info("draining", "node", g.cfg.Node, "sessions", g.desk.Stats().Sessions, "over", g.cfg.Drain)
	if err := g.desk.Drain(ctx); err != nil {
		g.log.Warn("draining did not end well", "node", g.cfg.Node, "error", err)
	}
	return nil
}
