package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
	"github.com/fanfarebus/fanfare/domain"
)

// A remote is a node that a command talks to, and how it prints the answers.
type remote struct {
	node, key string
	asJSON    bool
}

func (r *remote) flags(f *pflag.FlagSet) {
	f.StringVar(&r.node, "url", "", "the node (or FANFARE_URL; default "+localNode+")")
	f.StringVar(&r.key, "key", "", "API key (better as FANFARE_KEY)")
	f.BoolVar(&r.asJSON, "json", false, "print the node's answer as it is")
}

// ask makes a request. If the answer is to be printed as it is, it does that and returns
// false. Otherwise it reads the answer.
func (a *app) ask(ctx context.Context, r remote, req client.Request, into any) (show bool, err error) {
	c := client.Controller{
		Node: cmp.Or(r.node, a.env("URL"), localNode), Key: cmp.Or(r.key, a.env("KEY")),
	}
	answer, err := c.Do(ctx, req)
	if err != nil {
		return false, failed(err)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return false, failed(fmt.Errorf("the node's answer cannot be read: %w", err))
	}
	if !r.asJSON {
		return true, nil
	}
	_, err = fmt.Fprintf(a.out, "%s\n", answer)
	return false, failed(err)
}

// defaultWait is how long commands wait until all nodes have applied what was asked.
const defaultWait = 2 * time.Second

// maxWait is the longest that a node waits for others.
const maxWait = 30 * time.Second

// An order is a command to all nodes, and how it is given.
type order struct {
	remote
	wait time.Duration
}

func (o *order) flags(f *pflag.FlagSet) {
	o.remote.flags(f)
	f.DurationVar(&o.wait, "wait", defaultWait,
		"how long to wait until all nodes have applied it, at most 30s; 0s: until the bus has it")
}

// codes explains the exit codes of orders, in their help.
const codes = `

Exit codes: 0 when every live node has applied it (with --wait 0s: when the bus has it), 1 when it
failed, 2 for wrong usage, 3 when nodes have not said in time that they applied it. Those apply it when
they hear of it.`

// A pending is an error that names the nodes which have not said in time that they have
// applied an order: run returns 3 for it.
type pending struct {
	nodes []string
	wait  time.Duration
}

func (p *pending) Error() string {
	return fmt.Sprintf("after %v still pending on %s: each applies it when it hears of it, "+
		"and the command may be repeated (see --wait)", p.wait, strings.Join(p.nodes, ", "))
}

// give gives an order, and prints which nodes have applied it. What says what it does.
func (a *app) give(ctx context.Context, o order, what string, req client.Request) error {
	if o.wait < 0 || o.wait > maxWait {
		return fmt.Errorf("--wait: %v: want a time from 0s to %v", o.wait, maxWait)
	}
	req.Wait = o.wait
	var done struct {
		ID               string
		Applied, Pending []string
	}
	show, err := a.ask(ctx, o.remote, req, &done)
	if err != nil {
		return err
	}
	if done.ID == "" {
		return failed(errors.New("the node's answer has no id: is there a Fanfare node at this URL?"))
	}
	if show && o.wait == 0 {
		_, err = fmt.Fprintf(a.out, "%s: the bus has it (%s)\n", what, done.ID)
	} else if show {
		all := len(done.Applied) + len(done.Pending)
		var rows [][]string
		for _, name := range done.Applied {
			rows = append(rows, []string{printable(name), "applied"})
		}
		for _, name := range done.Pending {
			rows = append(rows, []string{printable(name), "pending"})
		}
		fmt.Fprintf(a.out, "%s: applied by %d of %d %s (%s)\n",
			what, len(done.Applied), all, plural(all, "node"), done.ID)
		err = a.table([]string{"NODE", "STATE"}, rows)
	}
	if err == nil && len(done.Pending) > 0 {
		return &pending{done.Pending, o.wait}
	}
	return failed(err)
}

// table prints rows below a head, in columns.
func (a *app) table(head []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// printable returns a name as a terminal may show it: characters that are invisible, or
// that would change what stands around them, are escaped.
func printable(name string) string {
	plain := func(r rune) bool { return unicode.IsPrint(r) && r != unicode.ReplacementChar }
	if strings.IndexFunc(name, func(r rune) bool { return !plain(r) }) < 0 {
		return name
	}
	return fmt.Sprintf("%q", name)
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// checkSystem checks the flag --system.
func checkSystem(name string) error {
	if name == "" {
		return errors.New("want --system NAME")
	}
	if _, err := domain.ParseSystem(name); err != nil {
		return fmt.Errorf("--system: %w", err)
	}
	return nil
}

// checkName checks a name that stands where the usage says.
func checkName(where, name string) error {
	if err := domain.CheckUser(name); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return nil
}

// ttlSeconds returns a duration in the seconds of the API, and nil for 0, which stands for
// the longest.
func ttlSeconds(ttl time.Duration) (*int64, error) {
	switch {
	case ttl == 0:
		return nil, nil
	case ttl < 0 || ttl%time.Second != 0:
		return nil, fmt.Errorf("--ttl: %v: want whole seconds, such as 1h or 90s", ttl)
	}
	return new(int64(ttl / time.Second)), nil
}
