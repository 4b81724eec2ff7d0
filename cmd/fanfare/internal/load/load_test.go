package load_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a load on a node in development, and the bus of that node.
func node(t *testing.T, serve func(http.Handler) *httptest.Server) (load.Config, *fanfare.Publisher) {
	t.Helper()
	bus := memory.New(memory.Config{})
	n, err := fanfare.New(t.Context(), fanfare.Config{Dev: true, Drain: 1}, fanfare.WithDriver(bus.Driver()))
	if err != nil {
		t.Fatal(err)
	}
	out, err := fanfare.NewPublisher(t.Context(), "", "", fanfare.WithDriver(bus.Driver()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	server := serve(n)
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, out.Close()); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return load.Config{
		Scenario: load.Unicast, URLs: []string{server.URL}, Protocol: load.V1, System: "bench", Systems: 1,
		Clients: 10, Rate: 1000, Publishers: 4, Batch: 1, Size: 128, Missed: 5, Duration: 200 * time.Millisecond, Wait: 5 * time.Second,
	}, out
}

func plainHTTP(h http.Handler) *httptest.Server { return httptest.NewServer(h) }

func TestEachScenarioAccountsForEverything(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*load.Config)
		want   int // deliveries; 0 if that depends on how fast it is
	}{
		{"unicast", func(*load.Config) {}, 200},
		{"unicast in batches", func(c *load.Config) { c.Batch = 7 }, 200},
		{"unicast, users absent", func(c *load.Config) { c.Absent = 10 }, 100},
		{"fan-out", func(c *load.Config) { c.Scenario = load.FanOut }, 2000},
		{"fan-out over systems", func(c *load.Config) { c.Scenario, c.Systems, c.Clients = load.FanOut, 3, 9 }, 600},
		{"unicast over systems", func(c *load.Config) { c.Systems, c.Publishers = 4, 3 }, 200},
		{"with a warm-up", func(c *load.Config) { c.WarmUp = 100 * time.Millisecond }, 200},
		{"large messages", func(c *load.Config) { c.Size = 60_000; c.Rate = 100 }, 20},
		{"plain", func(c *load.Config) { c.Protocol = load.Plain }, 200},
		{"plain fan-out", func(c *load.Config) { c.Protocol, c.Scenario = load.Plain, load.FanOut }, 2000},
		{"unicast, in flight", func(c *load.Config) { c.Rate, c.InFlight = 0, 8 }, 0},
		{"fan-out, in flight", func(c *load.Config) { c.Scenario, c.Rate, c.InFlight, c.Batch = load.FanOut, 0, 20, 5 }, 0},
		{"absent, in flight", func(c *load.Config) { c.Rate, c.InFlight, c.Absent = 0, 8, 30 }, 0},
		{"fan-out, some read nothing", func(c *load.Config) { c.Scenario, c.Stalled, c.Size = load.FanOut, 3, 5000 }, 2000},
		{"resume", func(c *load.Config) { c.Scenario = load.Resume }, 50},
		{"idle", func(c *load.Config) { c.Scenario = load.Idle; c.Ramp = 1000 }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, _ := node(t, plainHTTP)
			c.change(&cfg)
			got, err := load.Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got.Fault() != nil || got.Gaps != 0 || len(got.Findings) > 0 || got.Server == nil {
				t.Errorf("%v: %+v", got.Fault(), got)
			}
			if c.want > 0 && got.Delivered != c.want || got.Scenario != load.Idle && (got.Delivered == 0 || got.Published == 0) {
				t.Errorf("%d published, %d delivered", got.Published, got.Delivered)
			}
			if l := got.Latency; l.P50 < 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max || l.Max > 20_000 {
				t.Errorf("latencies %+v", l)
			}
		})
	}
}

func TestClientsAndPublishersSpeakTLS(t *testing.T) {
	var server *httptest.Server
	cfg, _ := node(t, func(h http.Handler) *httptest.Server { server = httptest.NewTLSServer(h); return server })
	cfg.TLS = server.Client().Transport.(*http.Transport).TLSClientConfig
	cfg.URLs[0] = "wss" + strings.TrimPrefix(cfg.URLs[0], "https")
	got, err := load.Run(t.Context(), cfg)
	if err != nil || got.Fault() != nil || got.Delivered != 200 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A direct outlet publishes to the bus of a node, and changes what it publishes.
type direct struct {
	out    *fanfare.Publisher
	change func([]fanfare.Message) ([]fanfare.Message, error)
}

func (d direct) Publish(ctx context.Context, system string, msgs []load.Message) (int, error) {
	var all []fanfare.Message
	for _, m := range msgs {
		all = append(all, fanfare.Message{To: []string{string(m.To)}, ID: string(m.ID), Data: json.RawMessage(m.Data)})
	}
	all, failed := d.change(all)
	if _, err := d.out.Publish(ctx, system, all...); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, failed
	}
	return len(msgs), nil
}

func (direct) Close() error { return nil }

// through makes all publishers publish straight to the bus, with what change makes of
// their messages.
func through(cfg *load.Config, out *fanfare.Publisher, change func([]fanfare.Message) ([]fanfare.Message, error)) {
	cfg.Outlet = func() (load.Outlet, error) { return direct{out, change}, nil }
}

// once calls change for the first batch that is large enough.
func once(change func([]fanfare.Message) []fanfare.Message) func([]fanfare.Message) ([]fanfare.Message, error) {
	done := false
	return func(all []fanfare.Message) ([]fanfare.Message, error) {
		if len(all) < 3 || done {
			return all, nil
		}
		done = true
		return change(all), nil
	}
}

func TestWhatIsLostRepeatedOrOutOfOrderFailsTheRunAndIsNamed(t *testing.T) {
	for _, c := range []struct {
		name    string
		clients int
		change  func([]fanfare.Message) []fanfare.Message
		count   func(*load.Result) int
		finding string
	}{
		{"lost", 1, func(all []fanfare.Message) []fanfare.Message { return all[1:] },
			func(r *load.Result) int { return r.Lost }, `client 0: of those for bench-0, message \d+ had not come 3s after`},
		{"again", 1, func(all []fanfare.Message) []fanfare.Message {
			again := all[0]
			again.ID = "another"
			return append(all, again)
		}, func(r *load.Result) int { return r.Repeated }, `client 0: of those for bench-0, message \d+ came again`},
		{"out of order", 1, func(all []fanfare.Message) []fanfare.Message {
			all[0], all[1] = all[1], all[0]
			return all
		}, func(r *load.Result) int { return r.Reordered }, `client 0: of those for bench-0, message \d+ came after message \d+`},
		{"for somebody else", 2, func(all []fanfare.Message) []fanfare.Message {
			i := slices.IndexFunc(all, func(m fanfare.Message) bool { return m.To[0] == "user:bench-0" })
			astray := all[i]
			astray.To, astray.ID = []string{"user:bench-1"}, "another"
			return append(all, astray)
		}, func(r *load.Result) int { return r.Misdelivered }, `client 1 received message \d+ of those for bench-0`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, out := node(t, plainHTTP)
			cfg.Clients, cfg.Publishers, cfg.Rate, cfg.Batch, cfg.Wait = c.clients, 1, 2_000, 50, 3*time.Second
			through(&cfg, out, once(c.change))
			got, err := load.Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if c.count(got) != 1 || got.Fault() == nil || got.Lost+got.Repeated+got.Reordered+got.Misdelivered != 1 {
				t.Errorf("%v: %+v", got.Fault(), got)
			}
			if len(got.Findings) != 1 || !regexp.MustCompile(c.finding).MatchString(got.Findings[0]) {
				t.Errorf("it says %q", got.Findings)
			}
		})
	}
}

func TestLatencyCountsFromWhenAMessageWasDue(t *testing.T) {
	cfg, out := node(t, plainHTTP)
	cfg.Publishers, cfg.Duration, cfg.Batch = 1, 300*time.Millisecond, 500
	stalled := false
	through(&cfg, out, func(all []fanfare.Message) ([]fanfare.Message, error) {
		if !stalled {
			stalled = true
			<-time.After(200 * time.Millisecond) // a bus that stalls
		}
		return all, nil
	})
	got, err := load.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	// Of 300 messages 200 were due while it stalled: one a millisecond.
	if l := got.Latency; l.Max < 200 || l.P50 < 50 {
		t.Errorf("the stall does not show: %+v", l)
	}
}

func TestWhatWasNotTakenIsPublishedAgain(t *testing.T) {
	cfg, out := node(t, plainHTTP)
	cfg.Publishers, cfg.Batch, cfg.Rate = 1, 20, 500
	calls := 0
	through(&cfg, out, func(all []fanfare.Message) ([]fanfare.Message, error) {
		if calls++; calls%2 == 1 {
			return all, errors.New("no answer") // they are published, but the answer is lost
		}
		return all, nil
	})
	got, err := load.Run(t.Context(), cfg)
	if err != nil || got.Retries == 0 || got.Delivered != 100 || got.Fault() != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestALoadThatCannotBeIsAnError(t *testing.T) {
	cfg, out := node(t, plainHTTP)
	through(&cfg, out, func(all []fanfare.Message) ([]fanfare.Message, error) {
		return nil, fmt.Errorf("forbidden: %w", load.ErrFinal)
	})
	if _, err := load.Run(t.Context(), cfg); !errors.Is(err, load.ErrFinal) {
		t.Errorf("publishing is forbidden: %v", err)
	}
	answers := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	for url, want := range map[string]string{
		answers(401): "client 0 was not let in: the node answered 401", answers(200): "the node answered 200",
		"http://127.0.0.1:1": "no answer from a node at http://127.0.0.1:1",
	} {
		bad := cfg
		bad.URLs, bad.Clients = []string{url}, 1
		if _, err := load.Run(t.Context(), bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	cfg.Metrics = []string{answers(200)}
	if _, err := load.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "--metrics: ") {
		t.Errorf("there are no metrics: %v", err)
	}
}

func TestFaultsOfAConfigNameTheirFlag(t *testing.T) {
	good := load.Config{
		Scenario: load.Unicast, URLs: []string{"http://h"}, Protocol: load.V1, System: "bench", Systems: 1,
		Clients: 10, Rate: 1000, Publishers: 4, Batch: 1, Missed: 5, Duration: time.Second,
	}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*load.Config){
		"--scenario: ":                     func(c *load.Config) { c.Scenario = "all" },
		"--protocol: \"v2\"":               func(c *load.Config) { c.Protocol = "v2" },
		"--protocol: a plain client":       func(c *load.Config) { c.Protocol, c.Scenario = load.Plain, load.Resume },
		"--url: want":                      func(c *load.Config) { c.URLs = nil },
		"--url: the node's URL begins":     func(c *load.Config) { c.URLs = []string{"ftp://h"} },
		"--clients: 0":                     func(c *load.Config) { c.Clients = 0 },
		"--clients: 100001":                func(c *load.Config) { c.Clients = load.MaxClients + 1 },
		"--rate: 0":                        func(c *load.Config) { c.Rate = 0 },
		"--rate and --in-flight":           func(c *load.Config) { c.InFlight = 5 },
		"--in-flight: 5: want at least":    func(c *load.Config) { c.Rate, c.InFlight, c.Batch = 0, 5, 10 },
		"--duration: 2h":                   func(c *load.Config) { c.Duration = 2 * time.Hour },
		"--duration: 0s":                   func(c *load.Config) { c.Duration = 0 },
		"--wait: -1s":                      func(c *load.Config) { c.Wait = -time.Second },
		"--size: -1":                       func(c *load.Config) { c.Size = -1 },
		"--absent: only":                   func(c *load.Config) { c.Scenario, c.Absent = load.FanOut, 1 },
		"--systems: 11: want at most":      func(c *load.Config) { c.Systems = 11 },
		"--batch: a request":               func(c *load.Config) { c.Systems, c.Batch = 2, 2 },
		"--missed: 0":                      func(c *load.Config) { c.Missed = 0 },
		"--publishers: 0: want 1 to 1024":  func(c *load.Config) { c.Publishers = 0 },
		"--ramp: -1: want 0 to 1000000":    func(c *load.Config) { c.Ramp = -1 },
		"--read-pause: 2h0m0s: want 0s to": func(c *load.Config) { c.ReadPause = 2 * time.Hour },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

func TestALoadEndsWithItsContextAndSaysWhatWas(t *testing.T) {
	cfg, out := node(t, plainHTTP)
	cfg.Duration = 10 * time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	through(&cfg, out, func(all []fanfare.Message) ([]fanfare.Message, error) {
		time.AfterFunc(50*time.Millisecond, cancel)
		return all, nil
	})
	var progress []string
	cfg.Progress = func(line string) { progress = append(progress, line) }
	got, err := load.Run(ctx, cfg)
	if err != nil || !got.Interrupted || got.Published == 0 || got.Lost != 0 || got.Fault() == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTheServersEndOfAConnectionIsAFault(t *testing.T) {
	cfg, out := node(t, plainHTTP)
	cfg.Clients, cfg.Wait = 2, 100*time.Millisecond
	through(&cfg, out, func(all []fanfare.Message) ([]fanfare.Message, error) { return all, nil })
	second := cfg // the same users: a node may have only so many sessions of each
	second.Scenario, second.Duration, second.Clients = load.Idle, time.Second, 1
	ended := make(chan *load.Result, 1)
	go func() {
		got, err := load.Run(t.Context(), second)
		if err != nil {
			t.Error(err)
		}
		ended <- got
	}()
	disconnect(t, cfg.URLs[0])
	if got := <-ended; got != nil && (got.Closed != 1 || got.Fault() == nil || !strings.Contains(got.Findings[0], "4010")) {
		t.Errorf("%+v", got)
	}
}

// disconnect opens so many sessions of bench-0 that the oldest, which is another's, is
// closed.
func disconnect(t *testing.T, url string) {
	t.Helper()
	<-time.After(300 * time.Millisecond)
	for range 32 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/sse?systems=bench&user=bench-0", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
	}
}

// What programs read from the JSON form is documented: no name may go.
func TestFieldsOfTheJSONForm(t *testing.T) {
	cfg, _ := node(t, plainHTTP)
	got, err := load.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	got.Version, got.Commit, got.Args = "v1", "c0ffee", []string{"--clients=10"}
	var out bytes.Buffer
	if err := got.JSON(&out); err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(out.Bytes(), &fields); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Fatalf("%s: %v", out.Bytes(), err)
	}
	var names []string
	flatten(&names, "", fields)
	slices.Sort(names)
	want := strings.Fields(`args bench.cores bench.cpu_us_per_delivery clients closed commit
		connect_ms.max connect_ms.p50 connect_ms.p90 connect_ms.p99 connect_ms.p99_9 connect_seconds
		delivered delivered_per_second due findings gaps interrupted
		latency_ms.max latency_ms.p50 latency_ms.p90 latency_ms.p99 latency_ms.p99_9
		lost lost_in_gaps machine.arch machine.cores machine.go machine.os messages_per_frame misdelivered
		protocol published publishers reordered repeated retries scenario seconds
		server.cores server.cpu_us_per_connect server.cpu_us_per_delivery server.cpu_us_per_message
		server.cpu_us_per_resume server.nodes server.rss_bytes server.rss_bytes_before server.rss_bytes_per_session
		started systems version`)
	if !slices.Equal(names, want) {
		t.Errorf("the fields are %v\nwant %v", names, want)
	}
}

func flatten(names *[]string, prefix string, fields map[string]any) {
	for name, value := range maps.All(fields) {
		if inner, ok := value.(map[string]any); ok {
			flatten(names, prefix+name+".", inner)
			continue
		}
		*names = append(*names, prefix+name)
	}
}

func TestThePageNeedsNothingElse(t *testing.T) {
	cfg, _ := node(t, plainHTTP)
	cfg.Scenario, cfg.Duration = load.FanOut, 500*time.Millisecond
	got, err := load.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	got.Args = []string{"--system=<script>"}
	var page bytes.Buffer
	if err := got.HTML(&page); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	if outside := regexp.MustCompile(`(?i)(https?:)?//|src=|href=|url\(|@import|<script`).FindString(text); outside != "" {
		t.Errorf("the page refers to something: %q", outside)
	}
	if n := strings.Count(text, "<svg"); n != 2 || strings.Contains(text, "NaN") {
		t.Errorf("%d pictures in\n%s", n, text)
	}
	for _, want := range []string{"10 clients, fan-out", "&lt;script&gt;", "0 lost, 0 repeated", "p99.9", "Latency over time"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q on the page", want)
		}
	}
}
