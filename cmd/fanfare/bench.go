package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/load"
	"github.com/fanfarebus/fanfare/domain"
)

// A benchmark is what the flags of `fanfare bench` say.
type benchmark struct {
	load.Config
	key  string // API key to publish with
	to   string // "each" or "all"
	json bool   // print the report as JSON
}

func (a *app) bench() *cobra.Command {
	var b benchmark
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
			if err := a.prepare(cmd, &b); err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return failed(a.measure(ctx, b))
		},
	}, "auth.jwt.secret", "auth.jwt.issuer", "auth.jwt.audience")
	b.flags(cmd.Flags())
	return cmd
}

func (b *benchmark) flags(f *pflag.FlagSet) {
	f.StringVar(&b.URL, "url", "", "the node (or FANFARE_URL; default "+localNode+")")
	f.StringVar(&b.key, "key", "", "API key to publish with (better as FANFARE_KEY)")
	f.StringVar(&b.System, "system", "bench", "the system to use")
	f.IntVar(&b.Sessions, "clients", 100, fmt.Sprintf("sessions, at most %d", load.MaxSessions))
	f.IntVar(&b.Rate, "rate", 1000,
		fmt.Sprintf("messages a second, at most %d", load.MaxRate))
	f.DurationVar(&b.Duration, "duration", 10*time.Second,
		fmt.Sprintf("for how long messages are due, at most %v", load.MaxDuration))
	f.IntVar(&b.Size, "size", 128,
		fmt.Sprintf("bytes of a message's data, at most %d", load.MaxSize))
	f.StringVar(&b.to, "to", "each", "whom a message is for: each client in turn, or all of them")
	f.DurationVar(&b.Wait, "wait", 10*time.Second, "for what is on its way, when all is published")
	f.BoolVar(&b.json, "json", false, "print the report as a line of JSON")
}

// prepare completes the load that the flags describe, and checks it.
func (a *app) prepare(cmd *cobra.Command, b *benchmark) (err error) {
	b.URL = cmp.Or(b.URL, a.env("URL"), localNode)
	b.Everyone = b.to == "all"
	if !b.Everyone && b.to != "each" {
		return fmt.Errorf("--to: want each or all, not %q", b.to)
	}
	if _, err := domain.ParseSystem(b.System); err != nil {
		return fmt.Errorf("--system: %w", err)
	}
	if err := b.Validate(); err != nil {
		return err
	}
	b.Publish = posting(client.Publisher{Node: b.URL, Key: cmp.Or(b.key, a.env("KEY"))})
	b.Token, err = a.minter(cmd, b.Config)
	return err
}

// measure runs the load and prints the report. It returns what went wrong with the
// load as an error.
func (a *app) measure(ctx context.Context, b benchmark) error {
	report, err := load.Run(ctx, b.Config)
	if err != nil {
		return err
	}
	write := report.Text
	if b.json {
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
