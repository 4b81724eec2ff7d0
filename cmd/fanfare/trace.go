package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
	"github.com/fanfarebus/fanfare/domain/trace"
)

// A tracing is what the flags of `fanfare trace` say.
type tracing struct {
	remote
	system, user, cursor string
}

func (a *app) trace() *cobra.Command {
	var q tracing
	cmd := &cobra.Command{
		Use:   "trace ID",
		Short: "Print what became of a message",
		Long: `Prints where the messages with an id are, what each node made of them, and with --user what became of
them for each session of that user, also for sessions that have ended. docs/operating.md explains what
the words mean ("Why did alice not get X?"). The API key needs the scope admin.`,
		Example: `  fanfare trace 01KB9Z6J3W8Q2N4T5V7X9Y0ABC --system orders
  fanfare trace 01KB9Z6J3W8Q2N4T5V7X9Y0ABC --system orders --user alice
  fanfare trace order-301 --system orders --cursor AXsNqbF0aY3yqvY0mJmU2wO4vOzN1mYx --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := q.check(cmd.Flags().Changed("user"), args[0]); err != nil {
				return err
			}
			return a.traceMessage(cmd.Context(), q, args[0])
		},
	}
	f := cmd.Flags()
	q.remote.flags(f)
	f.StringVar(&q.system, "system", "", "the system")
	f.StringVar(&q.user, "user", "", "whose sessions are asked for")
	f.StringVar(&q.cursor, "cursor", "", "a place that is meant, too: what a publish returned")
	return cmd
}

func (q *tracing) check(named bool, id string) error {
	if err := checkSystem(q.system); err != nil {
		return err
	}
	if named {
		if err := checkName("--user", q.user); err != nil {
			return err
		}
	}
	return checkName("ID", id)
}

// traceMessage prints what became of a message.
func (a *app) traceMessage(ctx context.Context, q tracing, id string) error {
	var r trace.Report
	show, err := a.ask(ctx, q.remote, client.Request{
		Method: http.MethodGet, Path: []string{"systems", q.system, "messages", id, "trace"},
		Query: map[string]string{"user": q.user, "cursor": q.cursor},
	}, &r)
	if err != nil || !show {
		return err
	}
	if len(r.Places) == 0 {
		return failed(errors.New(notFound(&r)))
	}
	for i, p := range r.Places {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		if err := a.tracePlace(&r, i, p); err != nil {
			return failed(err)
		}
	}
	a.doubts(&r)
	return nil
}

// notFound says why there is no such message.
func notFound(r *trace.Report) string {
	switch r.Reason {
	case trace.ReasonTrimmed:
		return "no node's window has it, and the log has been trimmed: the log has it no more, or never had"
	case trace.ReasonTooFar:
		return "no node's window has it, and not all of the log was read (resume.max_scan)"
	case trace.ReasonLossy:
		return "this node's window has it not, and the bus keeps no log"
	}
	return "there is no such message: the log holds all that it ever held, and not this"
}

// tracePlace prints what became of a message at one of its places.
func (a *app) tracePlace(r *trace.Report, i int, p trace.Place) error {
	what := []string{"logged " + moment(p.LoggedAt)}
	switch {
	case p.Poison:
		what = append(what, "cannot be decoded")
	case len(p.To) == 0:
		what = append(what, "the log has it no more")
	default:
		what = append(what, "to "+printable(strings.Join(p.To, " ")))
	}
	if p.Type != "" {
		what = append(what, "type "+printable(p.Type))
	}
	if p.DuplicateOf != "" {
		what = append(what, "a repetition")
	}
	fmt.Fprintf(a.out, "%s: %s\ncursor %s\n", printable(r.ID), strings.Join(what, ", "), p.Cursor)
	var nodes, sessions [][]string
	for _, n := range r.Nodes {
		state, count := n.Error, "-"
		if n.Error == "" {
			state = "does not read the system"
		}
		if n.Error == "" && n.Reads && i < len(n.Places) {
			seen := n.Places[i]
			state, count = because(string(seen.State), seen.Reason), strconv.Itoa(seen.Sessions)
			for _, s := range seen.Of {
				sessions = append(sessions, []string{
					printable(s.Session), printable(n.Node), moment(s.Connected), moment(s.Ended),
					cmp.Or(s.Address, "-"), because(string(s.Fate), s.Reason),
				})
			}
		}
		nodes = append(nodes, []string{printable(n.Node), printable(state), count})
	}
	for _, name := range r.Silent {
		nodes = append(nodes, []string{printable(name), "no answer", "-"})
	}
	for _, g := range r.Gone {
		nodes = append(nodes, []string{printable(g.Node), "no such node any more, heard last " + moment(g.Heard), "-"})
	}
	if err := a.table([]string{"NODE", "MESSAGE", "SESSIONS"}, nodes); err != nil {
		return err
	}
	if r.User == "" {
		return nil
	}
	if len(sessions) == 0 {
		_, err := fmt.Fprintf(a.out, "%s has had no session on these nodes\n", printable(r.User))
		return err
	}
	return a.table([]string{"SESSION", "NODE", "CONNECTED", "ENDED", "ADDRESS", "FATE"}, sessions)
}

// because returns a word with the reason for it, if there is one.
func because(word, reason string) string {
	if reason == "" {
		return word
	}
	return word + " (" + reason + ")"
}

// doubts prints what the answer may lack.
func (a *app) doubts(r *trace.Report) {
	if !r.Complete {
		fmt.Fprintln(a.err, "fanfare: the id may have been used at other places, too: "+
			cmp.Or(r.Reason, "not all of the log was read"))
	}
	if r.User == "" {
		return
	}
	if len(r.Silent)+len(r.Gone) > 0 {
		fmt.Fprintln(a.err, "fanfare: what sessions had on nodes that did not answer is not known")
	}
	for _, n := range r.Nodes {
		if !n.Ended.IsZero() || n.More {
			fmt.Fprintf(a.err, "fanfare: %s does not remember all sessions that have ended: those since %s, "+
				"and the newest of the user's\n", printable(n.Node), moment(n.Ended))
		}
	}
}
