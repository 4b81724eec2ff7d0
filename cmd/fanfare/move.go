package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/settings"
)

// relocating is what the commands that move a bus are told.
type relocating struct {
	fanfare.MigrationConfig
	fromFile, toFile string
}

func (a *app) bridge() *cobra.Command {
	var r relocating
	cmd := r.flags(&cobra.Command{
		Use:   "bridge",
		Short: "Copy systems from one bus to another, so that nodes can move",
		Long: `Copies the systems' messages from the old bus to the new one, in order, with what is needed to keep
clients' cursors good. It runs until SIGTERM or SIGINT, waits while a bus is down, and goes on where it
was when it is started again: its checkpoint is on the new bus. docs/moving.md is the runbook.`,
		Example: `  fanfare bridge --from redis-streams://redis:6379/0 --to kafka://kafka:9092 --systems orders,chat
  fanfare bridge --from_file old.url --to_file new.url --systems orders`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return r.open(ctx, a, func(m *fanfare.Migration) error { return m.Bridge(ctx) })
		},
	})
	return cmd
}

func (a *app) move() *cobra.Command {
	var r relocating
	wait := time.Minute
	cmd := r.flags(&cobra.Command{
		Use:   "move",
		Short: "Let the new bus take over from the old one, while a bridge runs",
		Long: `Ends the old bus's time for the systems, one after the other: nodes that are set up for both buses
go on with the new one, without a gap. Publishers follow when they like; until then the bridge copies
what they publish. It does nothing unless a bridge keeps up. docs/moving.md is the runbook.`,
		Example: "  fanfare move --from redis-streams://redis:6379/0 --to kafka://kafka:9092 --systems orders,chat",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			return r.open(ctx, a, func(m *fanfare.Migration) error {
				return m.Move(ctx, func(system string) { fmt.Fprintf(a.out, "%s: the new bus has taken over\n", system) })
			})
		},
	})
	cmd.Flags().DurationVar(&wait, "wait", wait, "how long it may take")
	return cmd
}

func (r *relocating) flags(cmd *cobra.Command) *cobra.Command {
	f := cmd.Flags()
	f.StringVar(&r.From, "from", "", "the old bus, as a URL")
	f.StringVar(&r.To, "to", "", "the new bus, as a URL")
	f.StringVar(&r.fromFile, "from_file", "", "file that holds the old bus's URL")
	f.StringVar(&r.toFile, "to_file", "", "file that holds the new bus's URL")
	f.StringSliceVar(&r.Systems, "systems", nil, "the systems to move, such as orders,chat")
	f.StringVar(&r.Topic, "topic", fanfare.DefaultConfig().Topic, "template of topic names")
	return cmd
}

// open opens both buses for the time of a call.
func (r *relocating) open(ctx context.Context, a *app, do func(*fanfare.Migration) error) error {
	if err := r.read(); err != nil {
		return err
	}
	m, err := fanfare.NewMigration(ctx, r.MigrationConfig, fanfare.WithLogger(logger(a.err, fanfare.DefaultConfig().Log)))
	if err != nil {
		return err
	}
	return failed(errors.Join(do(m), m.Close()))
}

// read finds out the URLs.
func (r *relocating) read() error {
	for _, u := range []struct {
		name, file string
		url        *string
	}{{"from", r.fromFile, &r.From}, {"to", r.toFile, &r.To}} {
		if u.file != "" && *u.url != "" {
			return fmt.Errorf("--%[1]s is given, and so is --%[1]s_file: keep one", u.name)
		}
		if u.file != "" {
			content, err := settings.SecretFile(u.file)
			if err != nil {
				return fmt.Errorf("--%s_file: %w", u.name, err)
			}
			*u.url = content
		}
		if *u.url == "" {
			return fmt.Errorf("want --%[1]s URL, or --%[1]s_file", u.name)
		}
	}
	if len(r.Systems) == 0 {
		return errors.New("want --systems, such as --systems orders,chat")
	}
	if r.From == r.To {
		return errors.New("--from and --to are the same bus")
	}
	return nil
}
