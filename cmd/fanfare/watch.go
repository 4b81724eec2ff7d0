package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
	"github.com/fanfarebus/fanfare/domain"
)

// A lookout is what the flags of `fanfare watch` say.
type lookout struct {
	remote
	system string
	to     []string
	data   bool
	count  int
}

func (a *app) watch() *cobra.Command {
	var l lookout
	cmd := &cobra.Command{
		Use:   "watch [TARGET ...]",
		Short: "Print what a node reads of a system, as it comes",
		Long: `Prints the messages of a system as one node reads them, and whether it took each, or passed it over as
a duplicate, expired or poison. With targets, such as user:alice or room:lobby, it prints only the messages
for them. With one user alone it also prints the messages for everyone and for the rooms that the user's
sessions hear, these sessions on all nodes when they come and go, and what became of each message for them.
It prints no data unless --data is given. Ctrl-C ends it. The API key needs the scope admin.`,
		Example: `  fanfare watch user:alice --system orders
  fanfare watch --system orders
  fanfare watch room:lobby room:desk --system chat --data --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkSystem(l.system); err != nil {
				return err
			}
			for _, text := range args {
				if _, err := domain.ParseTarget(text); err != nil {
					return fmt.Errorf("TARGET: %w", err)
				}
			}
			if l.count < 0 {
				return fmt.Errorf("--count: %d: want 0 or more", l.count)
			}
			l.to = args
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return failed(a.watchSystem(ctx, l))
		},
	}
	f := cmd.Flags()
	l.remote.flags(f)
	f.StringVar(&l.system, "system", "", "the system")
	f.BoolVar(&l.data, "data", false, "with the messages' data")
	f.IntVar(&l.count, "count", 0, "end after this many messages; 0: never")
	return cmd
}

// errEnough ends a stream.
var errEnough = errors.New("enough")

// watchSystem prints events until ctx ends or the node ends the stream.
func (a *app) watchSystem(ctx context.Context, l lookout) error {
	c := client.Controller{
		Node: cmp.Or(l.node, a.env("URL"), localNode), Key: cmp.Or(l.key, a.env("KEY")),
	}
	query := url.Values{"to": l.to}
	if l.data {
		query.Set("data", "true")
	}
	seen := 0
	err := c.Watch(ctx, []string{"systems", l.system, "watch"}, query, func(event []byte) error {
		var e watched
		if err := json.Unmarshal(event, &e); err != nil {
			return fmt.Errorf("an event cannot be read: %w", err)
		}
		line := e.line()
		if l.asJSON {
			line = string(event)
		}
		if _, err := fmt.Fprintln(a.out, line); err != nil {
			return err
		}
		if e.Op == "message" {
			if seen++; seen == l.count {
				return errEnough
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough), ctx.Err() != nil:
		return nil
	case err == nil:
		return errors.New("the node has ended the stream")
	}
	return err
}

// A watched is one event.
type watched struct {
	Op, What, ID, Type, From, Reason, Cursor string
	Node, System, User                       string
	To                                       []string
	More                                     int `json:"more_to"`
	Bytes, N                                 int
	Logged                                   time.Time
	Data                                     json.RawMessage
	Base64                                   string `json:"data_base64"`
	Sessions                                 []struct{ Session, ID, Node, Port, Address, Fate, Reason string }
	Silent                                   []string
	Failed                                   []struct{ Node, Error string }
}

// line returns an event as people read it.
func (e *watched) line() string {
	switch e.Op {
	case "watching":
		return fmt.Sprintf("watching %s on %s", printable(e.System), printable(e.Node))
	case "message":
		return e.message()
	case "gap":
		return fmt.Sprintf("%s  gap %s", moment(e.Logged), printable(e.Reason))
	case "skipped":
		return fmt.Sprintf("%d %s left out: this reads too slowly", e.N, plural(e.N, "event"))
	case "fates_left_out":
		return fmt.Sprintf("what became of %d %s is not told: there are too many", e.N, plural(e.N, "message"))
	case "fate":
		return e.fate()
	case "sessions":
		return e.sessions()
	case "goaway":
		return "the node drains"
	}
	return printable(e.Op)
}

func (e *watched) message() string {
	if e.ID == "" {
		return fmt.Sprintf("%s  %s", moment(e.Logged), printable(e.What))
	}
	to := make([]string, len(e.To))
	for i, t := range e.To {
		to[i] = printable(t)
	}
	if e.More > 0 {
		to = append(to, fmt.Sprintf("and %d more", e.More))
	}
	line := fmt.Sprintf("%s  %s %s to %s, %d bytes", moment(e.Logged), printable(e.What), printable(e.ID),
		strings.Join(to, " "), e.Bytes)
	if e.Type != "" {
		line += ", type " + printable(e.Type)
	}
	if e.From != "" {
		line += ", from " + printable(e.From)
	}
	switch {
	case e.Base64 != "":
		line += ": " + printable(e.Base64)
	case len(e.Data) > 0:
		line += ": " + dataOf(e.Data)
	}
	return line
}

// dataOf returns data as a terminal may show them.
func dataOf(data json.RawMessage) string {
	text := string(data)
	if shown := printable(text); shown != text {
		return strconv.QuoteToASCII(text)
	}
	return text
}

// fate says what became of a message for the sessions of the user.
func (e *watched) fate() string {
	var all []string
	for _, s := range e.Sessions {
		what := printable(s.Fate)
		if s.Reason != "" {
			what += " " + printable(s.Reason)
		}
		all = append(all, fmt.Sprintf("%s on %s: %s", printable(s.Session), printable(s.Node), what))
	}
	if len(all) == 0 {
		all = append(all, "the user has no session")
	}
	return fmt.Sprintf("  %s: %s%s", printable(e.ID), strings.Join(all, "; "), e.missing())
}

// sessions says which sessions the user has.
func (e *watched) sessions() string {
	var all []string
	for _, s := range e.Sessions {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s on %s, %s %s",
			printable(s.ID), printable(s.Node), printable(s.Port), printable(s.Address))))
	}
	if len(all) == 0 {
		all = append(all, "none")
	}
	return fmt.Sprintf("sessions of %s: %s%s", printable(e.User), strings.Join(all, "; "), e.missing())
}

// missing names the nodes of which nothing is known.
func (e *watched) missing() string {
	var names []string
	for _, name := range e.Silent {
		names = append(names, printable(name))
	}
	for _, f := range e.Failed {
		names = append(names, printable(f.Node)+" ("+printable(f.Error)+")")
	}
	if len(names) == 0 {
		return ""
	}
	return "; no answer from " + strings.Join(names, ", ")
}
