package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare/client"
)

const localNode = "http://127.0.0.1:8080"

// A listening is what the flags of `fanfare listen` say.
type listening struct {
	node, token, user string
	systems, rooms    []string
	data              bool   // print data only
	count             int    // messages to end after
	resume            string // file for cursors
}

func (a *app) listen() *cobra.Command {
	var l listening
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Print what a user receives",
		Long: `Holds a session with a node and prints every op as a line of JSON. When the connection is lost it
comes back, and goes on where it was. Ctrl-C ends it. With --resume it also goes on where it was when it
is started again: what was missed comes first, or a gap.`,
		Example: `  fanfare listen --user alice --systems orders                  # from ` + "`fanfare dev`" + `
  FANFARE_TOKEN=$(fanfare token --user alice --systems orders --config fanfare.yaml) \
    fanfare listen --url https://push.example.com --systems orders
  fanfare listen --user alice --systems chat --rooms chat/lobby --plain-data --count 1
  fanfare listen --user alice --systems orders --resume alice.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l.node, l.token = or(l.node, a.env("URL"), localNode), or(l.token, a.env("TOKEN"))
			if len(l.systems) == 0 {
				return errors.New("want --systems NAME,…")
			}
			if l.count < 0 {
				return fmt.Errorf("--count: %d: want 0 or more", l.count)
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return a.listenTo(ctx, l)
		},
	}
	f := cmd.Flags()
	f.StringVar(&l.node, "url", "", "the node (or FANFARE_URL; default "+localNode+")")
	f.StringVar(&l.token, "token", "", "session token (better as FANFARE_TOKEN)")
	f.StringVar(&l.user, "user", "", "who to be, at a node in development")
	f.StringSliceVar(&l.systems, "systems", nil, "systems to attach to")
	f.StringSliceVar(&l.rooms, "rooms", nil, "rooms to join, as system/room; one with a comma stands in quotes of its own: '\"chat/a,b\"'")
	f.BoolVar(&l.data, "plain-data", false, "print messages only, and of them only the data")
	f.IntVar(&l.count, "count", 0, "end after this many messages; 0: never")
	f.StringVar(&l.resume, "resume", "", "file that keeps how far each system was printed; made if it is missing")
	return cmd
}

// listenTo prints until ctx ends or count messages have come.
func (a *app) listenTo(ctx context.Context, l listening) error {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	cfg := client.Config{
		URL: asUser(l.node, l.user), Systems: l.systems, Rooms: l.rooms, Handler: a.printer(l, enough),
	}
	if l.token != "" {
		cfg.Token = func(context.Context) (string, error) { return l.token, nil }
	}
	if l.resume == "" {
		c, err := client.New(cfg)
		if err != nil {
			return err
		}
		return failed(c.Run(ctx))
	}
	file, err := openCursors(l.resume)
	if err != nil {
		return err
	}
	cfg.Resume = file.cursors()
	c, err := client.New(cfg)
	if err != nil {
		return err
	}
	return failed(file.follow(ctx, c))
}

// asUser adds to a node's URL who to be. A URL that cannot be read is left for
// the client to complain about.
func asUser(node, user string) string {
	u, err := url.Parse(node)
	if err != nil || user == "" {
		return node
	}
	q := u.Query()
	q.Set("user", user)
	u.RawQuery = q.Encode()
	return u.String()
}

// printer prints ops, or messages' data, and has enough after count messages.
func (a *app) printer(l listening, enough func()) client.Handler {
	seen := 0
	h := client.Handler{
		Lost: func(_ context.Context, lost *client.Lost) error {
			fmt.Fprintf(a.err, "fanfare: connection lost (%v); trying again in %v\n", lost.Err, lost.Delay.Round(time.Millisecond))
			return nil
		},
		Message: func(_ context.Context, m *client.Message) (err error) {
			if l.data {
				_, err = fmt.Fprintf(a.out, "%s\n", m.Data)
			}
			if seen++; seen == l.count {
				enough()
			}
			return err
		},
	}
	if !l.data {
		h.Op = func(_ context.Context, raw []byte) error {
			_, err := fmt.Fprintf(a.out, "%s\n", raw)
			return err
		}
	}
	return h
}
