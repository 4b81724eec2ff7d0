package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
)

// The most that a node is asked for.
const (
	maxRate     = 10_000
	maxSessions = 100_000_000
)

func (a *app) rebalance() *cobra.Command {
	var o order
	var rate string
	var sessions int
	var stop bool
	cmd := &cobra.Command{
		Use:   "rebalance NODE",
		Short: "Move sessions off a node that has too many",
		Long: `Asks clients that are connected to the node to connect elsewhere, one after the other. Each has its new
session before the old one ends. Without --sessions the node goes on until it has no more sessions than
the live nodes have on average. Where the clients go is for the load balancer to say: it should prefer
the node with the fewest connections. The command does not wait until they have gone. A second one for
the same node replaces the first. The API key needs the scope admin.` + codes,
		Example: `  fanfare rebalance n1
  fanfare rebalance n1 --rate 200/s --sessions 5000
  fanfare rebalance n1 --stop`,
		Args: oneNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			node := args[0]
			if err := checkName("NODE", node); err != nil {
				return err
			}
			req := client.Request{Method: http.MethodDelete, Path: []string{"nodes", node, "rebalance"}}
			if stop {
				if cmd.Flags().Changed("rate") || sessions != 0 {
					return errors.New("--stop: it goes with neither --rate nor --sessions")
				}
				return a.give(cmd.Context(), o, "stop rebalancing "+printable(node), req)
			}
			perSecond, err := perSecond(rate)
			if err != nil {
				return err
			}
			body := map[string]int{"rate": perSecond}
			switch {
			case sessions < 0 || sessions > maxSessions || sessions == 0 && cmd.Flags().Changed("sessions"):
				return fmt.Errorf("--sessions: %d: want a number from 1 to %d", sessions, maxSessions)
			case sessions > 0:
				body["sessions"] = sessions
			}
			req.Method, req.Body = http.MethodPost, body
			return a.give(cmd.Context(), o, "rebalance "+printable(node), req)
		},
	}
	f := cmd.Flags()
	o.flags(f)
	f.StringVar(&rate, "rate", "50/s", "how many sessions a second are asked to go")
	f.IntVar(&sessions, "sessions", 0, "how many in all; without it, until the node has the average")
	f.BoolVar(&stop, "stop", false, "ask no more sessions to go")
	return cmd
}

// perSecond reads a rate: 50/s, or the number alone.
func perSecond(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSuffix(text, "/s"))
	if err != nil || n < 1 || n > maxRate {
		return 0, fmt.Errorf("--rate: %s: want sessions a second, from 1/s to %d/s", text, maxRate)
	}
	return n, nil
}
