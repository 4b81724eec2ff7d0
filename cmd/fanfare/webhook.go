package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/settings"
)

func (a *app) webhook() *cobra.Command {
	var w fanfare.Webhook
	cmd := withSettings(&cobra.Command{
		Use:   "webhook",
		Short: "Post what clients send, and events about them, to HTTP endpoints",
		Long: `Takes what clients send (--inbound) and who came and went (--events) from the bus and posts it to an
endpoint, signed as Standard Webhooks says, in order for each user, and again until the endpoint takes it.
It runs until SIGTERM or SIGINT, and goes on where it was when it is started again: each endpoint is a
consumer group of its own. Without --url the endpoints are those of the setting webhooks. A node that has
this setting does the same by itself. docs/protocol.md describes the requests.`,
		Example: `  echo "whsec_$(openssl rand -base64 32)" > crm.secret
  fanfare webhook --transport redis-streams://localhost:6379/0 --url https://crm.example.com/hook \
    --secret-file crm.secret --systems chat,orders --events --inbound
  fanfare webhook --config fanfare.yaml`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.load(cmd)
			if err != nil {
				return err
			}
			all := s.Config.Webhooks
			if w.URL != "" {
				all = []fanfare.Webhook{w}
			}
			if err := checkEndpoint(cmd.Flags(), w); err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return a.postAll(ctx, s, all)
		},
	}, "transport", "topic", "webhooks", "log.level", "log.format")
	f := cmd.Flags()
	f.StringVar(&w.URL, "url", "", "the endpoint: http:// or https://")
	f.StringVar(&w.Name, "name", "default", "the endpoint's name, which makes its consumer group: fanfare-webhook-NAME")
	f.StringVar(&w.SecretFile, "secret-file", "", "file with secrets (whsec_…), one a line; all of them sign")
	f.StringSliceVar(&w.Systems, "systems", nil, "whose events and messages to post")
	f.BoolVar(&w.Events, "events", false, "post events: who came and who went")
	f.BoolVar(&w.Inbound, "inbound", false, "post what clients send")
	f.DurationVar(&w.Timeout, "timeout", 0, "how long one request may take (default 10s)")
	f.DurationVar(&w.MaxAge, "max-age", 0, "how old something may be before it is dropped (default 24h)")
	return cmd
}

// checkEndpoint refuses flags of an endpoint that is not named, and an endpoint without
// secrets.
func checkEndpoint(f *pflag.FlagSet, w fanfare.Webhook) error {
	if w.URL != "" {
		if w.SecretFile == "" {
			return errors.New("want --secret-file: the secrets with which requests are signed (see --help)")
		}
		return nil
	}
	for _, name := range []string{"name", "secret-file", "systems", "events", "inbound", "timeout", "max-age"} {
		if f.Changed(name) {
			return fmt.Errorf("--%s goes with --url, which is not there", name)
		}
	}
	return nil
}

// postAll posts until ctx ends.
func (a *app) postAll(ctx context.Context, s *settings.Settings, all []fanfare.Webhook) error {
	if err := otherProcess(s.Config.Transport); err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("want --url with --secret-file, --systems and --events or --inbound; " +
			"or the setting webhooks")
	}
	hooks, err := fanfare.NewWebhooks(ctx, s.Config.Transport, all,
		fanfare.WithTopic(s.Config.Topic), fanfare.WithLogger(logger(a.err, s.Config.Log)))
	if err != nil {
		return err
	}
	for _, w := range all {
		fmt.Fprintf(a.err, "fanfare: posting to %s\n", w)
	}
	return failed(errors.Join(hooks.Run(ctx), hooks.Close()))
}

// otherProcess refuses a bus that no other process can reach.
func otherProcess(transport string) error {
	if strings.HasPrefix(transport, "memory:") {
		return errors.New("transport: memory:// is a bus within one process: " +
			"name the nodes' bus with --transport or in the file of --config")
	}
	return nil
}
