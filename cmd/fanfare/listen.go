package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare/client"
)

// localNode is where `fanfare dev` listens by default.
const localNode = "http://127.0.0.1:8080"

// A subscription is what the flags of `fanfare listen` say.
type subscription struct {
	node, token, user string
	systems, rooms    []string
	dataOnly          bool   // print the data of messages and nothing else
	count             int    // messages to end after; 0: never
	resume            string // file that keeps the cursors; "" for none
}

func (a *app) listen() *cobra.Command {
	var s subscription
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
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.node = cmp.Or(s.node, a.env("URL"), localNode)
			s.token = cmp.Or(s.token, a.env("TOKEN"))
			if len(s.systems) == 0 {
				return errors.New("want --systems NAME,…")
			}
			if s.count < 0 {
				return fmt.Errorf("--count: %d: want 0 or more", s.count)
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return a.subscribe(ctx, s)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.node, "url", "", "the node (or FANFARE_URL; default "+localNode+")")
	f.StringVar(&s.token, "token", "", "session token (better as FANFARE_TOKEN)")
	f.StringVar(&s.user, "user", "", "who to be, at a node in development")
	f.StringSliceVar(&s.systems, "systems", nil, "systems to attach to")
	f.StringSliceVar(&s.rooms, "rooms", nil,
		"rooms to join, as system/room; one with a comma stands in quotes of its own: '\"chat/a,b\"'")
	f.BoolVar(&s.dataOnly, "plain-data", false, "print messages only, and of them only the data")
	f.IntVar(&s.count, "count", 0, "end after this many messages; 0: never")
	f.StringVar(&s.resume, "resume", "",
		"file that keeps how far each system was printed; made if it is missing")
	return cmd
}

// subscribe prints until ctx ends or count messages have come.
func (a *app) subscribe(ctx context.Context, s subscription) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	cfg := client.Config{
		URL: asUser(s.node, s.user), Systems: s.systems, Rooms: s.rooms, Handler: a.printer(s, end),
	}
	if s.token != "" {
		cfg.Token = func(context.Context) (string, error) { return s.token, nil }
	}
	if s.resume == "" {
		c, err := client.New(cfg)
		if err != nil {
			return err
		}
		return failed(s.hint(c.Run(ctx)))
	}
	file, err := openCursors(s.resume)
	if err != nil {
		return err
	}
	cfg.Resume = file.cursors()
	c, err := client.New(cfg)
	if err != nil {
		return err
	}
	return failed(s.hint(file.follow(ctx, c)))
}

// hint adds to a refusal of a client without a token how to give one.
func (s *subscription) hint(err error) error {
	r := (*client.Refusal)(nil)
	if s.token != "" || !errors.As(err, &r) || r.Status != http.StatusUnauthorized {
		return err
	}
	return fmt.Errorf("%w (give it with --token or FANFARE_TOKEN)", err)
}

// asUser adds the parameter user to a node's URL. It leaves a URL that cannot be
// read as it is: the client says what is wrong with it.
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

// printer prints ops, or only messages' data, and calls end after count messages.
func (a *app) printer(s subscription, end func()) client.Handler {
	seen := 0
	h := client.Handler{
		Lost: func(_ context.Context, lost *client.Lost) error {
			fmt.Fprintf(a.err, "fanfare: connection lost (%v); trying again in %v\n",
				lost.Err, lost.Delay.Round(time.Millisecond))
			return nil
		},
		Message: func(_ context.Context, m *client.Message) (err error) {
			if s.dataOnly {
				_, err = fmt.Fprintf(a.out, "%s\n", m.Data)
			}
			if seen++; seen == s.count {
				end()
			}
			return err
		},
	}
	if !s.dataOnly {
		h.Op = func(_ context.Context, raw []byte) error {
			_, err := fmt.Fprintf(a.out, "%s\n", raw)
			return err
		}
	}
	return h
}
