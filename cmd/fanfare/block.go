package main

import (
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
)

func (a *app) block() *cobra.Command {
	var o order
	var ttl time.Duration
	var reason string
	cmd := &cobra.Command{
		Use:   "block USER",
		Short: "Close a user's sessions and refuse new ones, on all nodes",
		Long: `Closes the sessions that a user has on any node, and refuses new ones until the block ends. A second
block replaces the first. The API key needs the scope admin.` + codes,
		Example: `  fanfare block alice --ttl 24h --reason spam
  fanfare block alice`,
		Args: oneUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkName("USER", args[0]); err != nil {
				return err
			}
			seconds, err := ttlSeconds(ttl)
			if err != nil {
				return err
			}
			return a.give(cmd.Context(), o, "block "+printable(args[0]), client.Request{
				Method: http.MethodPut, Path: []string{"users", args[0], "block"},
				Body: struct {
					Reason string `json:"reason,omitempty"`
					TTL    *int64 `json:"ttl,omitempty"`
				}{reason, seconds},
			})
		},
	}
	f := cmd.Flags()
	o.flags(f)
	f.DurationVar(&ttl, "ttl", 0, "how long the user is blocked; 0: 366 days, which is the most")
	f.StringVar(&reason, "reason", "", "told to the clients; at most 100 bytes")
	return cmd
}

func (a *app) unblock() *cobra.Command {
	var o order
	cmd := &cobra.Command{
		Use:   "unblock USER",
		Short: "Let a blocked user in again",
		Long: `Ends a user's block on all nodes. That the user was not blocked is no error. The API key needs the
scope admin.` + codes,
		Example: `  fanfare unblock alice`,
		Args:    oneUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkName("USER", args[0]); err != nil {
				return err
			}
			return a.give(cmd.Context(), o, "unblock "+printable(args[0]), client.Request{
				Method: http.MethodDelete, Path: []string{"users", args[0], "block"},
			})
		},
	}
	o.flags(cmd.Flags())
	return cmd
}
