package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/load"
	"github.com/fanfarebus/fanfare/domain"
)

func (a *app) bench() *cobra.Command {
	var (
		l    load.Config
		to   string
		json bool
		post client.Publisher
	)
	cmd := withSettings(&cobra.Command{
		Use:   "bench",
		Short: "Put a measured load on a node",
		Long: `Connects clients, each a user of its own, publishes through the node at a steady rate, and says what
arrived: lost, twice, out of order, and how late, counted from when a message was due. It ends with 1 if
anything was lost, repeated or out of order, or could not be published. Anything else that runs on this
machine, and the clients themselves, are part of what is measured.

At a node in development the users need no tokens. Else tokens are minted with the nodes' secret.`,
		Example: `  fanfare bench                                                     # on ` + "`fanfare dev`" + `
  fanfare bench --clients 1000 --rate 100 --to all --duration 30s
  FANFARE_KEY=… fanfare bench --url http://10.0.0.5:8080 --auth.jwt.secret_file jwt.secret --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l.URL = cmp.Or(l.URL, a.env("URL"), localNode)
			post.Node, post.Key = l.URL, cmp.Or(post.Key, a.env("KEY"))
			if l.Everyone = to == "all"; !l.Everyone && to != "each" {
				return fmt.Errorf("--to: want each or all, not %q", to)
			}
			if _, err := domain.ParseSystem(l.System); err != nil {
				return fmt.Errorf("--system: %w", err)
			}
			if err := l.Validate(); err != nil {
				return err
			}
			var err error
			if l.Token, err = a.minter(cmd, l); err != nil {
				return err
			}
			l.Publish = posting(post)
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return failed(a.measure(ctx, l, json))
		},
	}, "auth.jwt.secret", "auth.jwt.issuer", "auth.jwt.audience")
	f := cmd.Flags()
	f.StringVar(&l.URL, "url", "", "the node (or FANFARE_URL; default "+localNode+")")
	f.StringVar(&post.Key, "key", "", "API key to publish with (better as FANFARE_KEY)")
	f.StringVar(&l.System, "system", "bench", "the system to use")
	f.IntVar(&l.Sessions, "clients", 100, fmt.Sprintf("sessions, at most %d", load.MaxSessions))
	f.IntVar(&l.Rate, "rate", 1000,
		fmt.Sprintf("messages a second, at most %d", load.MaxRate))
	f.DurationVar(&l.Duration, "duration", 10*time.Second,
		fmt.Sprintf("for how long messages are due, at most %v", load.MaxDuration))
	f.IntVar(&l.Size, "size", 128,
		fmt.Sprintf("bytes of a message's data, at most %d", load.MaxSize))
	f.StringVar(&to, "to", "each", "whom a message is for: each client in turn, or all of them")
	f.DurationVar(&l.Wait, "wait", 10*time.Second, "for what is on its way, when all is published")
	f.BoolVar(&json, "json", false, "print the report as a line of JSON")
	return cmd
}

// measure runs the load and prints the report. It returns what went wrong with the
// load as an error.
func (a *app) measure(ctx context.Context, l load.Config, json bool) error {
	report, err := load.Run(ctx, l)
	if err != nil {
		return err
	}
	write := report.Text
	if json {
		write = report.JSON
	}
	if err := write(a.out); err != nil {
		return err
	}
	return report.Fault()
}

// minter returns what makes tokens with the configured secret, nil without one.
func (a *app) minter(cmd *cobra.Command, l load.Config) (func(user string) (string, error), error) {
	s, err := a.load(cmd)
	if err != nil {
		return nil, err
	}
	c := s.Config.Auth.JWT
	if c.Secret == "" {
		return nil, nil
	}
	jwt, err := newJWT(c)
	if err != nil {
		return nil, err
	}
	return func(user string) (string, error) {
		ttl := l.Duration + l.Wait + time.Hour // an hour for connecting
		return jwt.Mint(domain.Grant{
			User: user, Systems: []string{l.System}, Expires: time.Now().Add(ttl),
		})
	}, nil
}

// posting publishes through a node. A refusal is final unless its reason passes:
// the bus is down, or too much is published at once.
func posting(p client.Publisher) func(context.Context, string, []byte) (int, error) {
	return func(ctx context.Context, system string, lines []byte) (int, error) {
		ids, err := p.Publish(ctx, system, lines)
		var refused *client.Refusal
		switch {
		case err == nil:
			return len(ids), nil
		case !errors.As(err, &refused):
			return 0, err
		case refused.Status < 500 && refused.Status != http.StatusTooManyRequests:
			return 0, fmt.Errorf("publishing: %w: %w", load.ErrFinal, err)
		}
		return refused.Accepted, err
	}
}
