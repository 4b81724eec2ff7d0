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

// A migration is what the flags of `fanfare bridge` and `fanfare move` say.
type migration struct {
	fanfare.MigrationConfig
	fromFile, toFile string // files that hold the URLs, instead of From and To
}

func (a *app) bridge() *cobra.Command {
	var m migration
	return m.flags(&cobra.Command{
		Use:   "bridge",
		Short: "Copy systems from one bus to another, so that nodes can move",
		Long: `Copies the systems' messages from the old bus to the new one, in order, with what is needed to keep
clients' cursors good. It runs until SIGTERM or SIGINT, waits while a bus is down, and goes on where it
was when it is started again: its checkpoint is on the new bus. docs/moving.md is the runbook.`,
		Example: `  fanfare bridge --from redis-streams://redis:6379/0 --to kafka://kafka:9092 --systems orders,chat
  fanfare bridge --from_file old.url --to_file new.url --systems orders`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return a.migrate(ctx, m, func(between *fanfare.Migration) error {
				return between.Bridge(ctx)
			})
		},
	})
}

func (a *app) move() *cobra.Command {
	var m migration
	wait := time.Minute
	cmd := m.flags(&cobra.Command{
		Use:   "move",
		Short: "Let the new bus take over from the old one, while a bridge runs",
		Long: `Ends the old bus's time for the systems, one after the other: nodes that are set up for both buses
go on with the new one, without a gap. Publishers follow when they like; until then the bridge copies
what they publish. It does nothing unless a bridge keeps up. docs/moving.md is the runbook.`,
		Example: "  fanfare move --from redis-streams://redis:6379/0 --to kafka://kafka:9092 --systems orders,chat",
		Args:    flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			return a.migrate(ctx, m, func(between *fanfare.Migration) error {
				return between.Move(ctx, func(system string) {
					fmt.Fprintf(a.out, "%s: the new bus has taken over\n", system)
				})
			})
		},
	})
	cmd.Flags().DurationVar(&wait, "wait", wait, "how long it may take")
	return cmd
}

func (m *migration) flags(cmd *cobra.Command) *cobra.Command {
	f := cmd.Flags()
	f.StringVar(&m.From, "from", "", "the old bus, as a URL")
	f.StringVar(&m.To, "to", "", "the new bus, as a URL")
	f.StringVar(&m.fromFile, "from_file", "", "file that holds the old bus's URL")
	f.StringVar(&m.toFile, "to_file", "", "file that holds the new bus's URL")
	f.StringSliceVar(&m.Systems, "systems", nil, "the systems to move, such as orders,chat")
	f.StringVar(&m.Topic, "topic", fanfare.DefaultConfig().Topic, "template of topic names")
	return cmd
}

// migrate opens both buses, calls do, and closes them.
func (a *app) migrate(ctx context.Context, m migration, do func(*fanfare.Migration) error) error {
	cfg, err := m.config()
	if err != nil {
		return err
	}
	log := logger(a.err, fanfare.DefaultConfig().Log)
	between, err := fanfare.NewMigration(ctx, cfg, fanfare.WithLogger(log))
	if err != nil {
		return err
	}
	return failed(errors.Join(do(between), between.Close()))
}

// config checks the flags, and reads the URLs that are in files.
func (m migration) config() (cfg fanfare.MigrationConfig, err error) {
	cfg = m.MigrationConfig
	if cfg.From, err = busURL("from", m.From, m.fromFile); err != nil {
		return cfg, err
	}
	if cfg.To, err = busURL("to", m.To, m.toFile); err != nil {
		return cfg, err
	}
	if len(cfg.Systems) == 0 {
		return cfg, errors.New("want --systems, such as --systems orders,chat")
	}
	if cfg.From == cfg.To {
		return cfg, errors.New("--from and --to are the same bus")
	}
	return cfg, nil
}

// busURL returns the URL that the flag has, or that is in the file.
func busURL(flag, url, file string) (string, error) {
	switch {
	case url != "" && file != "":
		return "", fmt.Errorf("--%[1]s is given, and so is --%[1]s_file: keep one", flag)
	case url == "" && file == "":
		return "", fmt.Errorf("want --%[1]s URL, or --%[1]s_file", flag)
	case url != "":
		return url, nil
	}
	url, err := settings.SecretFile(file)
	if err != nil {
		return "", fmt.Errorf("--%s_file: %w", flag, err)
	}
	return url, nil
}
