package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
)

// A sessionList is a node's answer about the sessions of a user.
type sessionList struct {
	Sessions []struct {
		ID, Node, Port, Address string
		Connected, Expires      time.Time
		Going                   bool
		Pending                 int `json:"pending_frames"`
		Systems                 []struct {
			System, State, Gap string
			Rooms, Assigned    []string
			More               int `json:"more_rooms"`
		}
	}
	More     int
	Silent   []string
	Failed   []struct{ Node, Error string }
	Complete bool
}

func (a *app) sessions() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "sessions USER",
		Short: "Print the sessions of a user on all nodes",
		Long: `Prints the sessions that a user has on all nodes: where each is, since when, how far it is in each of
its systems (live, behind or waiting), and the rooms that it hears. A room with a + is one that the
server has put the user into. The API key needs the scope admin.`,
		Example: `  fanfare sessions alice
  fanfare sessions alice --json`,
		Args: oneUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkName("USER", args[0]); err != nil {
				return err
			}
			return a.listSessions(cmd.Context(), r, args[0])
		},
	}
	r.flags(cmd.Flags())
	return cmd
}

// listSessions prints the sessions of a user.
func (a *app) listSessions(ctx context.Context, r remote, user string) error {
	var got sessionList
	show, err := a.ask(ctx, r, client.Request{Method: http.MethodGet, Path: []string{"users", user, "sessions"}}, &got)
	if err != nil {
		return err
	}
	a.warnMissing(&got)
	if !show {
		return nil
	}
	if len(got.Sessions) == 0 {
		_, err := fmt.Fprintf(a.out, "%s has no sessions\n", printable(user))
		return failed(err)
	}
	var rows [][]string
	for _, s := range got.Sessions {
		head := []string{printable(s.ID), printable(s.Node), printable(s.Port), printable(s.Address),
			moment(s.Connected), moment(s.Expires), strconv.Itoa(s.Pending)}
		if s.Going {
			head[1] += " (going)"
		}
		for i, sys := range s.Systems {
			if i > 0 {
				head = make([]string, len(head))
			}
			state := printable(sys.State)
			if sys.Gap != "" {
				state += ", gap " + printable(sys.Gap)
			}
			rows = append(rows, append(head, printable(sys.System), state, roomsOf(sys.Rooms, sys.Assigned, sys.More)))
		}
		if len(s.Systems) == 0 {
			rows = append(rows, append(head, "-", "-", "-"))
		}
	}
	return failed(a.table([]string{
		"SESSION", "NODE", "PORT", "ADDRESS", "SINCE", "TOKEN UNTIL", "PENDING", "SYSTEM", "STATE", "ROOMS",
	}, rows))
}

// warnMissing says on standard error what may be missing.
func (a *app) warnMissing(got *sessionList) {
	for _, f := range got.Failed {
		fmt.Fprintf(a.err, "fanfare: node %s has no answer: %s\n", printable(f.Node), printable(f.Error))
	}
	if len(got.Silent) > 0 {
		fmt.Fprintf(a.err, "fanfare: not answered in time by %s: sessions may be missing\n",
			printable(strings.Join(got.Silent, ", ")))
	} else if !got.Complete && len(got.Failed) == 0 {
		fmt.Fprintln(a.err, "fanfare: the node does not know yet which nodes are alive: sessions may be missing")
	}
	if got.More > 0 {
		fmt.Fprintf(a.err, "fanfare: %d more %s\n", got.More, plural(got.More, "session"))
	}
}

// roomsOf returns the rooms of a session as one text.
func roomsOf(rooms, assigned []string, more int) string {
	var all []string
	for _, room := range rooms {
		all = append(all, printable(room))
	}
	for _, room := range assigned {
		all = append(all, "+"+printable(room))
	}
	if more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, " ")
}
