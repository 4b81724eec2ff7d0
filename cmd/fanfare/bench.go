package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/load"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/settings"
	"github.com/fanfarebus/fanfare/domain"
)

// A benchmark is what the flags of `fanfare bench` say.
type benchmark struct {
	load.Config
	scenario string
	ramp     string // clients a second, as 1000 or 1000/s
	via      string // URL of the bus to publish to, past the nodes; empty for HTTP
	json     bool   // print the result as JSON
	html     string // file for the result as a page; empty for none
	progress bool   // print a line each second
}

func (a *app) bench() *cobra.Command {
	var b benchmark
	cmd := withSettings(&cobra.Command{
		Use:   "bench",
		Short: "Put a measured load on a node",
		Long: `Connects clients, each a user of its own, publishes, and says what arrived, how late, and what it cost
the node. Latencies count from when a message was due. It ends with 1 if a message was lost, repeated or
out of order, or could not be published, and says which client and which message.

Scenarios:
  unicast  each message is for one client, in turn
  fan-out  each message is for all clients
  idle     clients connect and stay: what a session costs
  resume   all clients are cut off, miss messages, and come back at once

A load keeps to a rate (--rate), or it is as much as the node can do with a number of messages in flight
(--in-flight). At a node in development the users need no tokens. Else tokens are minted with the nodes'
secret. The clients cost less than the node, but run them on another machine for good latencies.`,
		Example: `  fanfare bench                                                     # on ` + "`fanfare dev`" + `
  fanfare bench --scenario fan-out --clients 2000 --in-flight 32 --html report.html
  fanfare bench --rate 5000 --via redis-streams://localhost:6379/0 --metrics http://localhost:9090/metrics
  fanfare bench --scenario idle --clients 9000 --ramp 1000/s
  FANFARE_KEY=… fanfare bench --url https://push.example.com --auth.jwt.secret_file jwt.secret --json`,
		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.prepare(cmd, &b); err != nil {
				return err
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return a.measure(ctx, cmd, b)
		},
	}, "auth.jwt.secret", "auth.jwt.issuer", "auth.jwt.audience", "topic")
	b.flags(cmd.Flags())
	return cmd
}

func (b *benchmark) flags(f *pflag.FlagSet) {
	f.StringVar(&b.scenario, "scenario", string(load.Unicast), "fan-out, unicast, idle or resume")
	f.StringArrayVar(&b.URLs, "url", nil,
		"the node (or FANFARE_URL; default "+localNode+"); may be repeated: clients are spread over the nodes")
	f.StringArrayVar(&b.Metrics, "metrics", nil,
		"URL of a node's metrics; may be repeated; default /metrics of the nodes, if that answers")
	f.StringVar(&b.Key, "key", "", "API key to publish with (better as FANFARE_KEY)")
	f.StringVar(&b.via, "via", "",
		"publish straight to this bus, past the nodes, such as redis-streams://localhost:6379/0")
	f.StringVar(&b.Protocol, "protocol", load.V1, "what the clients speak: v1 or plain")
	f.StringVar(&b.System, "system", "bench", "the system to use")
	f.IntVar(&b.Systems, "systems", 1, "use that many systems, bench-0, bench-1 …, with a part of the clients each")
	f.IntVar(&b.Clients, "clients", 100, fmt.Sprintf("sessions, at most %d", load.MaxClients))
	f.IntVar(&b.Absent, "absent", 0, "unicast: further users who get messages and have no session")
	f.IntVar(&b.Stalled, "stalled", 0, "further clients that connect and read nothing")
	f.StringVar(&b.ramp, "ramp", "",
		"clients that connect a second, such as 1000/s; default: as fast as the node lets them in")
	f.IntVar(&b.Rate, "rate", 1000, fmt.Sprintf("messages a second, at most %d", load.MaxRate))
	f.IntVar(&b.InFlight, "in-flight", 0,
		"instead of --rate: publish so that this many messages have not arrived yet")
	f.IntVar(&b.Publishers, "publishers", 32, "connections that publish, one request at a time each")
	f.IntVar(&b.Batch, "batch", 1, fmt.Sprintf("messages in one request, at most %d", load.MaxBatch))
	f.IntVar(&b.Size, "size", 128, fmt.Sprintf("bytes of a message's data, at most %d", load.MaxSize))
	f.IntVar(&b.Missed, "missed", 10, "resume: messages that each client misses")
	f.DurationVar(&b.WarmUp, "warm-up", time.Second, "for how long the load goes on before it is measured")
	f.DurationVar(&b.Duration, "duration", 10*time.Second,
		fmt.Sprintf("for how long it is measured, at most %v", load.MaxDuration))
	f.DurationVar(&b.Wait, "wait", 10*time.Second, "for what is on its way, when all is published")
	f.DurationVar(&b.ReadPause, "read-pause", 0,
		"the clients rest between two rounds of reading, so that they do not slow down a node "+
			"on the same machine; default 1ms with --in-flight, else none")
	f.BoolVar(&b.json, "json", false, "print the result as a line of JSON")
	f.StringVar(&b.html, "html", "", "write the result to this file, too, as a page with pictures")
	f.BoolVar(&b.progress, "progress", false, "print a line each second; default on a terminal")
}

// prepare completes the load that the flags describe, and checks it.
func (a *app) prepare(cmd *cobra.Command, b *benchmark) (err error) {
	f := cmd.Flags()
	b.Scenario = load.Scenario(b.scenario)
	if len(b.URLs) == 0 {
		b.URLs = []string{cmp.Or(a.env("URL"), localNode)}
	}
	b.Key = cmp.Or(b.Key, a.env("KEY"))
	if f.Changed("in-flight") && !f.Changed("rate") {
		b.Rate = 0
	}
	if b.InFlight > 0 && !f.Changed("read-pause") {
		b.ReadPause = time.Millisecond
	}
	if b.Ramp, err = parseRamp(b.ramp); err != nil {
		return err
	}
	if _, err := domain.ParseSystem(b.System); err != nil {
		return fmt.Errorf("--system: %w", err)
	}
	if err := b.Validate(); err != nil {
		return err
	}
	if errs, ok := a.err.(*os.File); b.progress || ok && !f.Changed("progress") && terminal(errs) {
		b.Progress = func(line string) { fmt.Fprintln(a.err, line) }
	}
	b.Token, err = a.minter(cmd, b.Config)
	return err
}

// parseRamp reads a rate such as 1000/s; empty is 0.
func parseRamp(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(text, "/s"))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("--ramp: %q: want clients a second, such as 1000/s", text)
	}
	return n, nil
}

// terminal reports whether a person probably reads what is written to f.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// measure runs the load and prints the result. It returns what went wrong with the
// load as an error.
func (a *app) measure(ctx context.Context, cmd *cobra.Command, b benchmark) error {
	release, err := a.openOutlets(ctx, cmd, &b)
	if err != nil {
		return err
	}
	res, err := load.Run(ctx, b.Config)
	err = errors.Join(err, release())
	switch {
	case errors.Is(err, context.Canceled):
		return failed(errors.New("interrupted before there was anything to measure"))
	case err != nil:
		return failed(err)
	}
	res.Version, res.Commit, res.Args = versionText(), commit(), shownFlags(cmd.Flags())
	write := res.Text
	if b.json {
		write = res.JSON
	}
	if err := write(a.out); err != nil {
		return failed(err)
	}
	if b.html != "" {
		if err := writeFile(b.html, res.HTML); err != nil {
			return failed(err)
		}
	}
	return failed(res.Fault())
}

// writeFile writes a file.
func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// openOutlets opens the bus that --via names. release closes it.
func (a *app) openOutlets(ctx context.Context, cmd *cobra.Command, b *benchmark) (release func() error, err error) {
	u, err := url.Parse(b.via)
	switch {
	case b.via == "":
		return func() error { return nil }, nil
	case err != nil:
		return nil, errors.New("--via: this URL cannot be read")
	case u.Scheme == "memory":
		return nil, errors.New("--via: nobody hears what is published to memory://, which is this command's own")
	case u.Scheme == "lines": // test/bench/limit
		b.Outlet = func() (load.Outlet, error) { return load.NewLines(ctx, u.Host) }
		return func() error { return nil }, nil
	}
	s, err := a.load(cmd)
	if err != nil {
		return nil, err
	}
	out, err := fanfare.NewPublisher(ctx, b.via, s.Config.Topic)
	if err != nil {
		return nil, fmt.Errorf("--via: %w", err)
	}
	b.Outlet = func() (load.Outlet, error) { return busOutlet{out}, nil }
	return out.Close, nil
}

// A busOutlet publishes to the bus itself. All publishers share it, so that they share
// round trips, too.
type busOutlet struct{ out *fanfare.Publisher }

// Publish publishes; a message that breaks a rule is refused for good.
func (o busOutlet) Publish(ctx context.Context, system string, msgs []load.Message) (int, error) {
	all := make([]fanfare.Message, len(msgs))
	for i, m := range msgs {
		all[i] = fanfare.Message{To: []string{string(m.To)}, ID: string(m.ID), Data: json.RawMessage(m.Data)}
	}
	_, err := o.out.Publish(ctx, system, all...)
	var partial *fanfare.PublishError
	switch {
	case err == nil:
		return len(msgs), nil
	case errors.As(err, &partial):
		return partial.Accepted, err
	case errors.Is(err, fanfare.ErrInvalid), errors.Is(err, fanfare.ErrTooLarge):
		return 0, fmt.Errorf("%w: %w", load.ErrFinal, err)
	}
	return 0, err
}

// Close does nothing: others still publish.
func (busOutlet) Close() error { return nil }

// commit returns what this command was built from, "" if that is not known.
func commit() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return ""
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = " and changes"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + modified
}

// shownFlags returns the flags that were set, with secrets hidden.
func shownFlags(f *pflag.FlagSet) (shown []string) {
	hidden := map[string]bool{"key": true}
	for _, s := range settings.All() {
		hidden[s.Key] = s.Secret
	}
	f.Visit(func(flag *pflag.Flag) {
		values := []string{flag.Value.String()}
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			switch {
			case hidden[flag.Name]:
				v = "(hidden)"
			case strings.Contains(v, "://"):
				v = dsn.Redact(v)
			}
			shown = append(shown, "--"+flag.Name+"="+v)
		}
	})
	return shown
}

// minter returns what makes tokens with the configured secret, nil without one.
func (a *app) minter(cmd *cobra.Command, l load.Config) (func(user, system string) (string, error), error) {
	s, err := a.load(cmd)
	if err != nil {
		return nil, err
	}
	c := s.Config.Auth.JWT
	if c.Secret == "" {
		return nil, nil
	}
	jwt, err := newJWT(c)
	if err != nil {
		return nil, err
	}
	return func(user, system string) (string, error) {
		ttl := l.WarmUp + l.Duration + l.Wait + time.Hour // an hour for connecting
		return jwt.Mint(domain.Grant{
			User: user, Systems: []string{system}, Expires: time.Now().Add(ttl),
		})
	}, nil
}
