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

// A Node is a node: it consumes systems and delivers to the sessions it
// holds. It is safe for concurrent use.
type Node struct {
	cfg      Config
	log      *slog.Logger
	bus      bus
	hub      *stream.Hub
	router   *router.Router
	registry *session.Registry
	out      *Publisher
	status   *status
	public   http.Handler
	admin    http.Handler

	release func()
	once    sync.Once
}

// ServeHTTP serves clients and publishers: /ws, /sse, /v1/…, /healthz, /readyz and,
// without Config.AdminListen, what AdminHandler serves.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) { n.public.ServeHTTP(w, r) }

// Handler returns the Node as an http.Handler, to be mounted at the root of
// a server or, with http.StripPrefix, below a path.
func (n *Node) Handler() http.Handler { return n }

// AdminHandler serves /metrics, /docs and /openapi.json, for the listener of
// Config.AdminListen.
func (n *Node) AdminHandler() http.Handler { return n.admin }

// Publish sends messages of a system through the node's own connection to the
// bus; see Publisher.Publish.
func (n *Node) Publish(ctx context.Context, system string, msgs ...Message) (ids []string, err error) {
	return n.out.Publish(ctx, system, msgs...)
}

// Run consumes and delivers until ctx ends. Then it drains: it tells every
// session to go, each in its own time, over Config.Drain, and returns nil when
// all are gone. Any other end is an error, and fatal: the node is of no use
// any more. Run is called once; it closes the Node.
func (n *Node) Run(ctx context.Context) error {
	defer n.Close()
	// The node works on while it drains, so its parts end later than ctx.
	parts, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	work, parts := errgroup.WithContext(parts)
	work.Go(func() error { return n.router.Run(parts) })
	work.Go(func() error { return n.bus.Run(parts, n.busChanged) })
	work.Go(func() error { return n.registry.Run(parts) })
	work.Go(func() error { return n.sweep(parts) })
	work.Go(func() error {
		if err := n.hub.Start(); err != nil {
			return err
		}
		n.status.started()
		select {
		case <-ctx.Done():
			defer end()
			return n.drain(parts)
		case <-parts.Done():
			return nil
		}
	})
	if err := work.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("fanfare: node %s: %w", n.cfg.Node, err)
	}
	return nil
}

// Close lets go of the bus. Run does it too; it is for a Node that was not
// run. It is idempotent.
func (n *Node) Close() error {
	n.once.Do(n.release)
	return nil
}

func (n *Node) busChanged(up bool) {
	n.hub.SetBusUp(up)
	n.registry.SetBusUp(up)
}

func (n *Node) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.hub.Sweep()
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *Node) drain(ctx context.Context) error {
	n.status.draining()
	n.log.Info("draining", "node", n.cfg.Node, "sessions", n.registry.Stats().Sessions, "over", n.cfg.Drain)
	if err := n.registry.Drain(ctx); err != nil {
		n.log.Warn("draining did not end well", "node", n.cfg.Node, "error", err)
	}
	return nil
}
