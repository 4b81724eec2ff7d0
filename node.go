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
	"github.com/fanfarebus/fanfare/ports/api"
	"github.com/fanfarebus/fanfare/ports/plane"
	"github.com/fanfarebus/fanfare/ports/router"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/sse"
	"github.com/fanfarebus/fanfare/ports/ws"
	"github.com/fanfarebus/fanfare/webhook"
)

// sweepEvery is how often the windows let go of what is too old, and the hub of
// systems that nobody is attached to.
const sweepEvery = 5 * time.Second

// A Node consumes systems from the bus and delivers their messages to the
// sessions that it holds. [New] makes one, and [Node.Run] runs it. It is safe for
// concurrent use.
type Node struct {
	parts  parts
	cfg    Config
	log    *slog.Logger
	public http.Handler
	admin  http.Handler

	release func()
	once    sync.Once // guards release
}

// parts are what Wire puts together into a Node.
type parts struct {
	bus       bus
	router    *router.Router
	hub       *stream.Hub
	plane     *plane.Plane // nil if the control plane is off
	answerers *plane.Answerers
	logins    *logins
	registry  *session.Registry
	sockets   *ws.Server
	events    *sse.Server
	api       *api.API
	publisher *Publisher
	health    *health
	webhooks  *webhook.Worker
	options   options
}

var _ http.Handler = (*Node)(nil)

// New makes a node from its settings. It opens the bus, but does not wait for
// it, so a node starts while its bus is down. ctx bounds the opening alone. If
// the settings are not valid, the error names everything that is wrong with
// them, as that of [Config.Validate] does. Call [Node.Run] to start the node, or
// [Node.Close] to let it go.
func New(ctx context.Context, cfg Config, opts ...Option) (*Node, error) {
	o := newOptions(opts)
	if err := cfg.validate(o.login != nil); err != nil {
		return nil, err
	}
	n, release, err := assemble(ctx, cfg.withDefaults(), o)
	if err != nil {
		return nil, err
	}
	n.release = release
	return n, nil
}

// ServeHTTP serves clients and publishers: /ws, /sse, /v1/…, /healthz and
// /readyz; and what [Node.AdminHandler] serves if Config.Admin.Public is set, or
// if Config.Dev is and Config.AdminListen is not.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) { n.public.ServeHTTP(w, r) }

// Handler returns the Node as an [http.Handler], to be mounted at the root of a
// server or, with [http.StripPrefix], below a path.
func (n *Node) Handler() http.Handler { return n }

// AdminHandler returns what serves /metrics, /docs, /openapi.json, /healthz and
// /readyz. Nobody has to log in there, so mount it where only operators come: on a
// listener of its own (Config.AdminListen in `fanfare serve`), or behind a login of
// yours.
func (n *Node) AdminHandler() http.Handler { return n.admin }

// Publish sends messages of a system through the node's own connection to the
// bus, as [Publisher.Publish] does.
func (n *Node) Publish(ctx context.Context, system string, msgs ...Message) (Published, error) {
	out, err := n.parts.publisher.Publish(ctx, system, msgs...)
	if n.log.Enabled(ctx, slog.LevelDebug) {
		var to []string
		for _, m := range msgs[:min(len(msgs), loggedMessages)] {
			to = append(to, m.To[:min(len(m.To), loggedMessages)]...)
		}
		ids := out.IDs[:min(len(out.IDs), loggedMessages)]
		logPublish(ctx, n.log, system, len(msgs), ids, to, out.Cursor, err)
	}
	return out, err
}

// Run consumes and delivers until ctx ends. Then it drains: over the time of
// Config.Drain it tells one session after the other to go, and returns nil when
// all are gone. If it ends for any other reason, it returns an error, and the
// node cannot be used any more. Run is called once, and closes the Node.
func (n *Node) Run(ctx context.Context) error {
	defer n.Close()
	// The parts run until the node has drained, which is later than ctx ends.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	work, running := errgroup.WithContext(running)
	work.Go(func() error { return n.parts.router.Run(running) })
	work.Go(func() error { return n.parts.bus.Run(running, n.busChanged) })
	work.Go(func() error { return n.parts.logins.run(running) })
	work.Go(func() error { return n.parts.registry.Run(running) })
	work.Go(func() error { return n.parts.sockets.Run(running) })
	work.Go(func() error { return n.sweep(running) })
	if n.parts.plane != nil {
		work.Go(func() error { return n.parts.plane.Run(running, newControlled(n.parts)) })
	}
	work.Go(func() error { return n.parts.webhooks.Run(running) })
	work.Go(func() error {
		if err := n.parts.hub.Start(); err != nil {
			return err
		}
		n.parts.health.started()
		select {
		case <-ctx.Done():
			defer stop()
			return n.drain(running)
		case <-running.Done():
			return nil
		}
	})
	if err := work.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("fanfare: node %s: %w", n.cfg.Node, err)
	}
	return nil
}

// Close closes the bus, for a Node that was not run: Run does it, too. It may be
// called more than once. It returns nil; what goes wrong is logged.
func (n *Node) Close() error {
	n.once.Do(n.release)
	return nil
}

func (n *Node) busChanged(up bool) {
	n.parts.hub.SetBusUp(up)
	n.parts.registry.SetBusUp(up)
	if n.parts.plane != nil {
		n.parts.plane.SetBusUp(up)
	}
}

func (n *Node) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.parts.hub.Sweep()
		case <-ctx.Done():
			return nil
		}
	}
}

// drain returns no error: that some sessions had to be cut off is logged, and
// does not make the end of the node a failure.
func (n *Node) drain(ctx context.Context) error {
	n.parts.health.draining()
	if n.parts.plane != nil {
		n.parts.plane.StatusChanged() // other nodes hear it at once
	}
	n.log.Info("draining",
		"node", n.cfg.Node, "sessions", n.parts.registry.Stats().Sessions, "over", n.cfg.Drain)
	if err := n.parts.registry.Drain(ctx); err != nil {
		n.log.Warn("draining did not end well", "node", n.cfg.Node, "error", err)
	}
	return nil
}
