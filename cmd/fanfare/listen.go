package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
)

const localNode = "http://127.0.0.1:8080"

func (a *app) listen() *cobra.Command {
	var l client.Listener
	var data bool
	var count int
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Print what a user receives",
		Long: `Holds a session with a node and prints every op as a line of JSON. When the connection is lost it
comes back, and goes on where it was. Ctrl-C ends it.`,
		Example: `  fanfare listen --user alice --systems orders                  # from ` + "`fanfare dev`" + `
  FANFARE_TOKEN=$(fanfare token --user alice --systems orders --config fanfare.yaml) \
    fanfare listen --url https://push.example.com --systems orders
  fanfare listen --user alice --systems chat --rooms chat/lobby --plain-data --count 1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l.Node, l.Token = or(l.Node, a.env("URL"), localNode), or(l.Token, a.env("TOKEN"))
			if len(l.Systems) == 0 {
				return errors.New("want --systems NAME,…")
			}
			l.Note = func(text string) { fmt.Fprintln(a.err, "fanfare: "+text) }
			l.Op = a.printer(data, count)
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return failed(l.Run(ctx))
		},
	}
	f := cmd.Flags()
	f.StringVar(&l.Node, "url", "", "the node (or FANFARE_URL; default "+localNode+")")
	f.StringVar(&l.Token, "token", "", "session token (better as FANFARE_TOKEN)")
	f.StringVar(&l.User, "user", "", "who to be, at a node in development")
	f.StringSliceVar(&l.Systems, "systems", nil, "systems to attach to")
	f.StringSliceVar(&l.Rooms, "rooms", nil, "rooms to join, as system/room")
	f.BoolVar(&data, "plain-data", false, "print messages only, and of them only the data")
	f.IntVar(&count, "count", 0, "end after this many messages; 0: never")
	return cmd
}

// printer prints ops, or messages' data, and has enough after count messages.
func (a *app) printer(data bool, count int) func([]byte, client.Op) error {
	seen := 0
	return func(raw []byte, op client.Op) error {
		if !data {
			fmt.Fprintf(a.out, "%s\n", raw)
		}
		if op.Op != "message" {
			return nil
		}
		if data {
			fmt.Fprintf(a.out, "%s\n", plain(op))
		}
		if seen++; seen == count {
			return client.ErrEnough
		}
		return nil
	}
}

// plain is a message's data as it was published: text without its quotes.
func plain(op client.Op) []byte {
	var text string
	switch {
	case op.DataBase64 != nil:
		return op.DataBase64
	case op.ContentType != "" && json.Unmarshal(op.Data, &text) == nil:
		return []byte(text)
	}
	return op.Data
}
