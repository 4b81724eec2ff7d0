package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
	"github.com/fanfarebus/fanfare/domain/control"
)

// maxReceipts is how many sessions one answer about a message has at most.
const maxReceipts = 100

func (a *app) receipts() *cobra.Command {
	var r remote
	var system, after string
	var limit int
	cmd := &cobra.Command{
		Use:   "receipts ID",
		Short: "Print what became of a message",
		Long: `Prints what became of a message, for each session that it was for: acked (the client has handled it),
written (to the connection), pending, gap (the client was told that it may have missed something),
expired, ended (the session, before it was written) or unknown. The message has to have asked for
receipts. The API key needs the scope read/SYSTEM or publish/SYSTEM.`,
		Example: `  fanfare receipts 01KB9Z6J3W8Q2N4T5V7X9Y0ABC --system orders
  fanfare publish --system orders --to user:alice --data 1 --receipt --wait acked:2s`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return errors.New("want the id of a message")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkSystem(system); err != nil {
				return err
			}
			if limit < 1 || limit > maxReceipts {
				return fmt.Errorf("--limit: %d: want a number from 1 to %d", limit, maxReceipts)
			}
			return a.askReceipts(cmd.Context(), r, client.Request{
				Method: http.MethodGet, Path: []string{"systems", system, "messages", args[0], "receipts"},
				Query: map[string]string{"after": after, "limit": strconv.Itoa(limit)},
			})
		},
	}
	f := cmd.Flags()
	r.flags(f)
	f.StringVar(&system, "system", "", "the system")
	f.StringVar(&after, "after", "", "begin after this session")
	f.IntVar(&limit, "limit", maxReceipts, "print at most so many sessions for each target, up to 100")
	return cmd
}

// askReceipts makes a request that is answered with a report, and prints it.
func (a *app) askReceipts(ctx context.Context, r remote, req client.Request) error {
	var got control.ReceiptReport
	show, err := a.ask(ctx, r, req, &got)
	if err != nil || !show {
		return err
	}
	return failed(a.printReport(&got))
}

func (a *app) printReport(r *control.ReceiptReport) error {
	fmt.Fprintf(a.out, "%s in %s\n", printable(r.ID), r.System)
	var rows [][]string
	for _, t := range r.Receipts {
		if t.State != "" && len(t.Sessions) == 0 {
			rows = append(rows, []string{printable(t.To), string(t.State), "-", "-", "-", "-"})
		}
		for _, s := range t.Sessions {
			state := string(s.State)
			if s.Reason != "" {
				state += " (" + printable(s.Reason) + ")"
			}
			rows = append(rows, []string{
				printable(t.To), state, s.Session, printable(s.Node), receiptTime(s.Written), receiptTime(s.Acked),
			})
		}
	}
	err := a.table([]string{"TO", "STATE", "SESSION", "NODE", "WRITTEN", "ACKED"}, rows)
	for _, t := range r.Receipts {
		if t.Next != "" {
			fmt.Fprintf(a.out, "%s: there are more: --after %s\n", printable(t.To), t.Next)
		}
	}
	switch {
	case r.Complete:
	case len(r.Silent)+len(r.Lost) == 0: // the wait ended before all were asked
		fmt.Fprintf(a.out, "other sessions may be missing: fanfare receipts lists all\n")
	default:
		fmt.Fprintf(a.out, "something may be missing: nodes that did not answer: %s; nodes that died: %s\n",
			names(r.Silent), names(r.Lost))
	}
	return err
}

func names(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	shown := make([]string, len(all))
	for i, name := range all {
		shown[i] = printable(name)
	}
	return strings.Join(shown, ", ")
}

func receiptTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("15:04:05.000")
}

// checkWait checks the flag --wait of `fanfare publish`, and returns how long it is.
func (p *publication) checkWait() (time.Duration, error) {
	state, text, _ := strings.Cut(p.wait, ":")
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || d <= 0 || d > maxWait || state != "acked" && state != "written":
		return 0, fmt.Errorf("--wait: %q: want acked: or written: and a time up to %v, such as acked:2s",
			p.wait, maxWait)
	case p.fromInput, p.transport != "":
		return 0, errors.New("--wait goes with one message through a node, not with - nor with --transport")
	}
	return d, nil
}

// sendAndWait publishes one message, and prints what became of it.
func (a *app) sendAndWait(ctx context.Context, p publication) error {
	within, err := p.checkWait()
	if err != nil {
		return err
	}
	m, err := p.message()
	if err != nil {
		return err
	}
	return a.askReceipts(ctx, remote{node: p.node, key: p.key, asJSON: p.json}, client.Request{
		Method: http.MethodPost, Path: []string{"systems", p.system, "messages"},
		Query: map[string]string{"wait": p.wait}, Body: json.RawMessage(m), Within: within,
	})
}
