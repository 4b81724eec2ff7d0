package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
)

// Bounds of how many users one answer of a node has.
const (
	pageSize = 100
	maxPage  = 1000
)

// A pager says which part of a list is printed.
type pager struct {
	after string
	limit int
	all   bool
}

func (p *pager) flags(f *pflag.FlagSet) {
	f.StringVar(&p.after, "after", "", "begin after this name")
	f.IntVar(&p.limit, "limit", pageSize, "print at most so many, up to 1000")
	f.BoolVar(&p.all, "all", false, "print all of them")
}

// check checks the flags. With all, pages are as large as they can be.
func (p *pager) check() error {
	if p.limit < 1 || p.limit > maxPage {
		return fmt.Errorf("--limit: %d: want a number from 1 to %d, or --all", p.limit, maxPage)
	}
	if p.all {
		p.limit = maxPage
	}
	return nil
}

// A page is what answers with a part of a list say.
type page struct {
	rows [][]string
	next string // after which name there are more; "" if there are none
}

// pages asks for one page, or with all for each. It returns the rows of all, and whether
// there are more.
func (p *pager) pages(ask func(after string) (page, error)) (rows [][]string, more bool, err error) {
	for after := p.after; ; {
		got, err := ask(after)
		if err != nil {
			return nil, false, err
		}
		rows = append(rows, got.rows...)
		if got.next == "" || !p.all {
			return rows, got.next != "", nil
		}
		if got.next <= after {
			return nil, false, failed(errors.New("the node's answers do not come to an end"))
		}
		after = got.next
	}
}

// A question is what the flags of `fanfare who` say.
type question struct {
	remote
	pager
	system, room, user string
}

// A presence is a node's answer about who is in a place.
type presence struct {
	Count int
	Users []struct {
		User     string
		Sessions int
		Since    time.Time
	}
	Next     string
	Complete bool
}

func (a *app) who() *cobra.Command {
	var q question
	cmd := &cobra.Command{
		Use:   "who",
		Short: "Print who is attached to a system, or in a room",
		Long: `Prints the users who are attached to a system, or who are in a room, on any node: how many sessions
each has, and since when. The system must be in the nodes' presence.systems. With --json each page of
the answer is one line. The API key needs the scope presence/SYSTEM.`,
		Example: `  fanfare who --system chat
  fanfare who --system chat --room lobby --all
  fanfare who --system chat --user alice`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := q.check(cmd.Flags()); err != nil {
				return err
			}
			return a.whoIs(cmd.Context(), q)
		},
	}
	f := cmd.Flags()
	q.remote.flags(f)
	q.pager.flags(f)
	f.StringVar(&q.system, "system", "", "the system")
	f.StringVar(&q.room, "room", "", "the room; without it, everyone attached to the system")
	f.StringVar(&q.user, "user", "", "whether this user is there")
	return cmd
}

func (q *question) check(f *pflag.FlagSet) error {
	if err := checkSystem(q.system); err != nil {
		return err
	}
	for flag, name := range map[string]string{"room": q.room, "user": q.user, "after": q.after} {
		if f.Changed(flag) {
			if err := checkName("--"+flag, name); err != nil {
				return err
			}
		}
	}
	if q.user != "" && (q.all || f.Changed("after") || f.Changed("limit")) {
		return errors.New("--all, --after and --limit do not go with --user")
	}
	return q.pager.check()
}

// where names the place.
func (q *question) where() string {
	if q.room == "" {
		return q.system
	}
	return q.system + "/" + printable(q.room)
}

// whoIs prints who is there.
func (a *app) whoIs(ctx context.Context, q question) error {
	count, complete, show := 0, true, true
	rows, more, err := q.pages(func(after string) (page, error) {
		query := map[string]string{"room": q.room, "user": q.user, "after": after}
		if q.user == "" {
			query["limit"] = strconv.Itoa(q.limit)
		}
		var got presence
		var err error
		show, err = a.ask(ctx, q.remote, client.Request{
			Method: http.MethodGet, Path: []string{"systems", q.system, "presence"}, Query: query,
		}, &got)
		p := page{next: got.Next}
		for _, u := range got.Users {
			p.rows = append(p.rows, []string{printable(u.User), strconv.Itoa(u.Sessions), moment(u.Since)})
		}
		count, complete = got.Count, complete && got.Complete
		return p, err
	})
	if err != nil {
		return err
	}
	if !complete {
		fmt.Fprintln(a.err, "fanfare: the node does not know yet what every live node has: users may be missing")
	}
	switch {
	case !show:
		return nil
	case q.user != "" && len(rows) == 0:
		_, err = fmt.Fprintf(a.out, "%s is not in %s\n", printable(q.user), q.where())
		return failed(err)
	case q.user == "":
		fmt.Fprintf(a.out, "%d %s in %s\n", count, plural(count, "user"), q.where())
	}
	if err := a.table([]string{"USER", "SESSIONS", "SINCE"}, rows); err != nil {
		return failed(err)
	}
	if more && q.after == "" {
		fmt.Fprintf(a.err, "fanfare: %d more: see --all and --after\n", max(count-len(rows), 1))
	} else if more {
		fmt.Fprintln(a.err, "fanfare: there are more: see --all and --after")
	}
	return nil
}

// moment returns a time as tables show it, "-" if it is not known.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
