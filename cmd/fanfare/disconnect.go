package main

import (
	"errors"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
)

// A farewell is what a client is told that is disconnected.
type farewell struct {
	Reason    string `json:"reason,omitempty"`
	Code      int    `json:"code,omitempty"`
	Reconnect bool   `json:"reconnect"`
}

func (a *app) disconnect() *cobra.Command {
	var o order
	var bye farewell
	var session string
	var stay bool
	cmd := &cobra.Command{
		Use:   "disconnect USER | --session ID",
		Short: "Close a user's sessions, or one session, on all nodes",
		Long: `Closes the sessions that a user has on any node, or one session. Clients come back by themselves
unless --no-reconnect is given; use block to keep a user out. The API key needs the scope admin.` + codes,
		Example: `  fanfare disconnect alice
  fanfare disconnect alice --reason 'you logged out' --no-reconnect
  fanfare disconnect --session 01KB9Z6J3W8Q2N4T5V7X9Y0ABC --wait 10s`,
		Args: upToOneUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			bye.Reconnect = !stay
			req := client.Request{Method: http.MethodPost, Body: bye}
			switch {
			case (len(args) == 1) == (session != ""):
				return errors.New("want either USER or --session ID")
			case session != "":
				if err := checkName("--session", session); err != nil {
					return err
				}
				req.Path = []string{"sessions", session, "disconnect"}
				return a.give(cmd.Context(), o, "disconnect session "+session, req)
			}
			if err := checkName("USER", args[0]); err != nil {
				return err
			}
			req.Path = []string{"users", args[0], "disconnect"}
			return a.give(cmd.Context(), o, "disconnect "+printable(args[0]), req)
		},
	}
	f := cmd.Flags()
	o.flags(f)
	f.StringVar(&session, "session", "", "the one session to close, instead of a user's")
	f.StringVar(&bye.Reason, "reason", "", "told to the clients; at most 100 bytes")
	f.IntVar(&bye.Code, "code", 0, "close code: 4009, the default, or one of your own from 4100 to 4999")
	f.BoolVar(&stay, "no-reconnect", false, "tell clients not to come back by themselves")
	return cmd
}
