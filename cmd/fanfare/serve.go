package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/loglimit"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/connections"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/settings"
)

func (a *app) serve() *cobra.Command {
	return withSettings(&cobra.Command{
		Use:   "serve",
		Short: "Run a node",
		Long: `Runs a node until SIGTERM or SIGINT. Then it tells its sessions to go, each in its own time,
and exits with 0; a second signal ends it at once.

Every setting has three spellings: --auth.jwt.secret, FANFARE_AUTH_JWT_SECRET, and auth.jwt.secret in
the file. A flag beats the environment, which beats the file. Secrets are better kept in files:
--auth.jwt.secret_file, FANFARE_AUTH_JWT_SECRET_FILE. ` + "`fanfare config print`" + ` shows what takes effect.`,
		Example: `  openssl rand -base64 48 > jwt.secret
  fanfare serve --auth.jwt.secret_file jwt.secret --transport redis://localhost:6379/0
  fanfare serve --auth.jwt.secret_file jwt.secret --transport 'jetstream://localhost:4222?retention=6h'
  fanfare serve --config fanfare.yaml --listen :8080 --admin_listen 127.0.0.1:9090`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.load(cmd)
			if err != nil {
				return err
			}
			return a.node(cmd.Context(), s, func(net.Addr) {})
		},
	})
}

func (a *app) dev() *cobra.Command {
	return withSettings(&cobra.Command{
		Use:   "dev",
		Short: "Run an unprotected node on this machine, to try things out",
		Long: `Runs a node that believes everybody: the user is whoever the client says (?user=alice), and
publishing needs no key. So it answers this machine only, and nothing that came through a proxy.`,
		Example: `  fanfare dev
  fanfare dev --listen 127.0.0.1:9000 --transport redis://localhost:6379/0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.load(cmd)
			if err != nil {
				return err
			}
			s.Config.Dev = true
			return a.node(cmd.Context(), s, a.announce)
		},
	}, "listen", "admin_listen", "transport", "systems", "node", "topic", "origins", "drain", "log.level", "log.format")
}

// announce tells how to try a development node.
func (a *app) announce(addr net.Addr) {
	fmt.Fprintf(a.out, `Fanfare listens on http://%[1]s, unprotected: for this machine only.

  Try it in a browser:
    http://%[1]s/

  Receive what is for alice (in another terminal):
    %[2]s listen --url http://%[1]s --user alice --systems orders

  Publish something for her:
    curl -H 'Content-Type: application/json' -d '{"to":"user:alice","data":{"n":1}}' \
      http://%[1]s/v1/systems/orders/messages

  Documentation: http://%[1]s/docs      Stop: Ctrl-C

`, addr, a.name)
}

// node runs a node until ctx ends and its sessions are gone. Errors from
// before it listened are errors of usage, later ones are failures.
func (a *app) node(ctx context.Context, s *settings.Settings, listening func(net.Addr)) error {
	cfg := s.Config
	ctx, stop := untilSignal(ctx)
	defer stop()
	if err := cfg.Validate(); err != nil {
		return err
	}
	log := logger(a.err, cfg.Log)
	if len(s.Ignored) > 0 {
		log.Debug("no settings: the platform puts these into the environment for another service", "names", s.Ignored)
	}
	public, err := bind("listen", cfg.Listen)
	if err != nil {
		return err
	}
	defer public.Close()
	var admin net.Listener
	if cfg.AdminListen != "" {
		if admin, err = bind("admin_listen", cfg.AdminListen); err != nil {
			return err
		}
		defer admin.Close()
	}
	g, err := fanfare.New(ctx, cfg, fanfare.WithLogger(log), fanfare.WithVersion(versionText()))
	if err != nil {
		return err
	}
	if strings.HasPrefix(cfg.Transport, "memory:") && !cfg.Dev {
		log.Warn("the bus is this process's memory: other nodes hear nothing, and a restart forgets all")
	}
	log.Info("listening", "address", public.Addr().String(), "version", versionText())
	listening(public.Addr())
	return failed(run(ctx, g, log, cfg.Limits, server{public, g.Handler()}, server{admin, g.AdminHandler()}))
}

// A server is a listener, nil for none, and what answers there.
type server struct {
	net.Listener
	handler http.Handler
}

// run serves as long as the node runs: while it drains, health checks and
// publishers are still answered.
func run(ctx context.Context, g *fanfare.Node, log *slog.Logger, limits fanfare.LimitsConfig, servers ...server) error {
	work, ctx := errgroup.WithContext(ctx)
	var all []*http.Server
	for _, s := range servers {
		if s.Listener == nil {
			continue
		}
		h := connections.Server(s.handler, limits, log)
		all = append(all, h)
		work.Go(func() error {
			if err := h.Serve(connections.Bound(s.Listener, limits.SocketBytes)); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("listening on %s: %w", s.Addr(), err)
			}
			return nil
		})
	}
	work.Go(func() error {
		err := g.Run(ctx)
		for _, h := range all {
			err = errors.Join(err, shutdown(ctx, h))
		}
		return err
	})
	return work.Wait()
}

// shutdown lets requests in flight finish, and ends those that do not.
func shutdown(ctx context.Context, h *http.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if h.Shutdown(ctx) == nil {
		return nil
	}
	return h.Close()
}

func bind(key, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	var op *net.OpError
	if errors.As(err, &op) {
		var call *os.SyscallError
		if err = op.Err; errors.As(err, &call) {
			err = call.Err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen on %s: %w", key, address, err)
	}
	return l, nil
}

func logger(w io.Writer, cfg fanfare.LogConfig) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // it was validated
	options := &slog.HandlerOptions{Level: level}
	var lines slog.Handler = slog.NewTextHandler(w, options)
	if cfg.Format == "json" {
		lines = slog.NewJSONHandler(w, options)
	}
	return slog.New(loglimit.New(lines))
}
