package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfarebus/fanfare"
)

// A checkup is what the flags of `fanfare health` say.
type checkup struct {
	url     string // "" to find the node by its settings
	live    bool
	timeout time.Duration
}

func (a *app) health() *cobra.Command {
	var c checkup
	cmd := withSettings(&cobra.Command{
		Use:   "health",
		Short: "Ask the node of this machine whether it is well",
		Long: `Asks a node whether it takes clients (/readyz), or with --live only whether it answers (/healthz). It
finds the node by the same settings that ` + "`fanfare serve`" + ` has: admin_listen, or listen without it. It exits
with 0 if all is well, and with 1 if not: for health checks of containers, whose image has no other program.`,
		Example: `  fanfare health
  fanfare health --config fanfare.yaml --live
  fanfare health --url http://10.0.0.7:8080`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.timeout <= 0 {
				return fmt.Errorf("--timeout: %v: want more than 0", c.timeout)
			}
			url := c.url
			if url == "" {
				s, err := a.load(cmd)
				if err == nil {
					url, err = ownURL(s.Config)
				}
				if err != nil {
					return err
				}
			}
			return failed(a.check(cmd.Context(), url, c))
		},
	}, "listen", "admin_listen")
	f := cmd.Flags()
	f.StringVar(&c.url, "url", "", "the node, if it is not the one that the settings say")
	f.BoolVar(&c.live, "live", false, "ask only whether the process answers")
	f.DurationVar(&c.timeout, "timeout", 3*time.Second, "how long the answer may take")
	return cmd
}

// ownURL returns where a node with these settings answers health checks to programs of
// its own machine.
func ownURL(cfg fanfare.Config) (string, error) {
	key, address := "admin_listen", cfg.AdminListen
	if address == "" {
		key, address = "listen", cfg.Listen
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	if port == "0" {
		return "", fmt.Errorf("%s: %s: nobody knows which port that became: name it with --url", key, address)
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// maxHealth bounds what is read of an answer, in bytes.
const maxHealth = 1 << 20

// check asks the node, and prints what it says. An error means that the node is not well.
func (a *app) check(ctx context.Context, url string, c checkup) error {
	url = strings.TrimRight(url, "/") + "/readyz"
	if c.live {
		url = strings.TrimSuffix(url, "/readyz") + "/healthz"
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// The node is on this machine, or where --url says: no proxy of the environment is between.
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: no answer within %v", url, c.timeout)
	}
	if err != nil {
		return unreached(url, err)
	}
	defer answer.Body.Close()
	var body struct {
		Status, Bus string
		Deaf        []string
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxHealth))
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	if err != nil || body.Status == "" {
		return fmt.Errorf("%s: %s, and not a node's answer", url, answer.Status)
	}
	said := printable(body.Status)
	if body.Bus == "down" {
		said += ", the bus is down"
	}
	if len(body.Deaf) > 0 {
		said += ", deaf: " + printable(strings.Join(body.Deaf, ", "))
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, cmp.Or(said, answer.Status))
	}
	fmt.Fprintln(a.out, said)
	return nil
}

// unreached says that no node answers at the URL, without what net/http puts around why.
func unreached(at string, err error) error {
	why := err
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		why = wrapped.Err
	}
	return fmt.Errorf("no node answers at %s: %w: does it run, and with these settings?", at, why)
}
