package main

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
)

func (a *app) nodes() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "Print the live nodes",
		Long: `Prints the live nodes as one of them, which has a * in front, knows them: when it heard of each, how far
the clock of each is ahead of its own, and whether it knows who is attached there. The API key needs the
scope admin.`,
		Example: `  fanfare nodes
  fanfare nodes --url https://push.example.com --json`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listNodes(cmd.Context(), r) },
	}
	r.flags(cmd.Flags())
	return cmd
}

// listNodes prints the nodes.
func (a *app) listNodes(ctx context.Context, r remote) error {
	var got struct {
		Nodes []struct {
			Name, Version   string
			Self, Draining  bool
			Sessions, Users int
			LagMS           int64 `json:"lag_ms"`
			HeardMS         int64 `json:"heard_ms"`
			ClockAheadMS    int64 `json:"clock_ahead_ms"`
			InStep          bool  `json:"in_step"`
		}
	}
	show, err := a.ask(ctx, r, client.Request{Method: http.MethodGet, Path: []string{"nodes"}}, &got)
	if err != nil || !show {
		return err
	}
	var rows [][]string
	for _, n := range got.Nodes {
		name, heard, state := printable(n.Name), ago(n.HeardMS), "in step"
		if n.Self {
			name, heard = "*"+name, "-"
		} else {
			name = " " + name
		}
		switch {
		case n.Draining:
			state = "draining"
		case !n.InStep:
			state = "catching up"
		}
		rows = append(rows, []string{
			name, printable(cmp.Or(n.Version, "-")), strconv.Itoa(n.Sessions), strconv.Itoa(n.Users),
			ago(n.LagMS), heard, ago(n.ClockAheadMS), state,
		})
	}
	return failed(a.table(
		[]string{" NODE", "VERSION", "SESSIONS", "USERS", "LAG", "HEARD", "CLOCK", "STATE"}, rows))
}

// ago returns milliseconds as a duration.
func ago(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }
