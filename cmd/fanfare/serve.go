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
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/publishers"
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
--auth.jwt.secret_file, FANFARE_AUTH_JWT_SECRET_FILE. ` + "`fanfare config print`" + ` shows what takes effect.

The settings auth.… are read again when their files change, and on SIGHUP; all others at the start.`,
		Example: `  openssl rand -base64 48 > jwt.secret
  fanfare serve --auth.jwt.secret_file jwt.secret --transport redis://localhost:6379/0
  fanfare serve --auth.jwt.secret_file jwt.secret --transport 'jetstream://localhost:4222?retention=6h'
  fanfare serve --config fanfare.yaml --listen :8080 --admin_listen 127.0.0.1:9090`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.load(cmd)
			if err != nil {
				return err
			}
			return a.runNode(cmd.Context(), s, func(net.Addr) {})
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
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.load(cmd)
			if err != nil {
				return err
			}
			s.Config.Dev = true
			return a.runNode(cmd.Context(), s, a.announce)
		},
	}, "listen", "admin_listen", "transport", "systems", "node", "topic", "origins", "events",
		"drain", "log.level", "log.format")
}

// announce prints how to try a development node.
func (a *app) announce(addr net.Addr) {
	fmt.Fprintf(a.out, `Fanfare listens on http://%[1]s, unprotected: for this machine only.

  Try it in a browser:
    http://%[1]s/

  Receive what is for alice (in another terminal):
    %[2]s listen --url http://%[1]s --user alice --systems orders

  Publish something for her:
    curl -H 'Content-Type: application/json' -d '{"to":"user:alice","data":{"n":1}}' \
      http://%[1]s/v1/systems/orders/messages

  Console: http://%[1]s/console      Documentation: http://%[1]s/docs      Stop: Ctrl-C

`, addr, a.name)
}

// runNode runs a node until ctx ends, or a signal comes, and its sessions are
// gone. It calls listening once it listens. An error from before that is one of
// usage; a later one is a failure.
func (a *app) runNode(ctx context.Context, s *settings.Settings, listening func(net.Addr)) error {
	cfg := s.Config
	var hangup <-chan os.Signal // nil in development, where SIGHUP ends the node with its terminal
	if !cfg.Dev {
		c, stop := hangups()
		defer stop()
		hangup = c
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	if err := cfg.Validate(); err != nil {
		return err
	}
	log := logger(a.err, cfg.Log)
	if len(s.Ignored) > 0 {
		log.Debug("no settings: the platform puts these into the environment for another service",
			"names", s.Ignored)
	}
	public, err := listen("listen", cfg.Listen)
	if err != nil {
		return err
	}
	defer public.Close()
	var admin net.Listener
	if cfg.AdminListen != "" {
		if admin, err = listen("admin_listen", cfg.AdminListen); err != nil {
			return err
		}
		defer admin.Close()
	}
	options, stopTracing := tracing(cfg.Node, log)
	defer stopTracing()
	options = append(options, fanfare.WithLogger(log), fanfare.WithVersion(versionText()))
	node, err := fanfare.New(ctx, cfg, options...)
	if err != nil {
		return err
	}
	if strings.HasPrefix(cfg.Transport, "memory:") && !cfg.Dev {
		log.Warn("the bus is this process's memory: " +
			"other nodes hear nothing, and a restart forgets all")
	}
	adminHandler := node.AdminHandler()
	if cfg.Admin.Pprof {
		adminHandler = withProfiles(adminHandler)
		log.Warn("admin.pprof is on: whoever reaches admin_listen can see what is in this node's memory")
	}
	publicHandler := publicHandler(node, cfg, public.Addr(), log)
	log.Info("listening", "address", public.Addr().String(), "version", versionText())
	listening(public.Addr())
	var background []func(context.Context) error
	if !cfg.Dev { // which believes everybody
		r := newReloader(node, s, log, hangup)
		background = append(background, func(ctx context.Context) error { return r.run(ctx, cfg.Auth.Reload) })
	}
	return failed(serveNode(ctx, node, log, cfg, background,
		endpoint{public, publicHandler}, endpoint{admin, adminHandler}))
}

// An endpoint is a listener, nil for none, and what answers there.
type endpoint struct {
	net.Listener
	handler http.Handler
}

// serveNode runs the node, and serves the endpoints as long as it runs: while it
// drains, health checks and publishers are still answered. What is in background runs until
// ctx ends.
func serveNode(
	ctx context.Context, node *fanfare.Node, log *slog.Logger, cfg fanfare.Config,
	background []func(context.Context) error, endpoints ...endpoint,
) error {
	work, ctx := errgroup.WithContext(ctx)
	for _, run := range background {
		work.Go(func() error { return run(ctx) })
	}
	var servers []server
	for _, e := range endpoints {
		if e.Listener == nil {
			continue
		}
		s := newServer(e.handler, cfg, log)
		servers = append(servers, s)
		work.Go(func() error {
			err := s.Serve(connections.Bound(e.Listener, cfg.Limits.SocketBytes))
			if !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("listening on %s: %w", e.Addr(), err)
			}
			return nil
		})
	}
	work.Go(func() error {
		err := node.Run(ctx)
		for _, s := range servers {
			err = errors.Join(err, shutdown(ctx, s))
		}
		return err
	})
	return work.Wait()
}

// A server is an [http.Server], or does as one.
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

func newServer(h http.Handler, cfg fanfare.Config, log *slog.Logger) server {
	s := connections.Server(h, cfg.Limits, log)
	if cfg.StandardHTTP {
		return s
	}
	return publishers.New(s)
}

// shutdownTime is how long requests in flight may take to finish at the end.
const shutdownTime = 5 * time.Second

// shutdown lets requests in flight finish, and ends those that take too long.
func shutdown(ctx context.Context, s server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if s.Shutdown(ctx) == nil {
		return nil
	}
	return s.Close()
}

// listen listens on an address, which the setting key has. Its error says what is
// wrong without the names of system calls.
func listen(key, address string) (net.Listener, error) {
	l, err := connections.Listen(address)
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

// logger writes lines as the settings say. Of each kind it writes a bounded number.
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
