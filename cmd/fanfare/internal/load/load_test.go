package load_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfarebus/fanfare"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/client"
	"github.com/fanfarebus/fanfare/cmd/fanfare/internal/load"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { http.DefaultClient.CloseIdleConnections() }))
}

// A publish is what load.Config.Publish is.
type publish func(ctx context.Context, system string, lines []byte) (int, error)

// node is a node in development, and what publishes through it.
func node(t *testing.T) (load.Config, publish) {
	g, err := fanfare.New(t.Context(), fanfare.Config{Dev: true, Drain: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	server := httptest.NewServer(g)
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
		server.Close()
	})
	post := func(ctx context.Context, system string, lines []byte) (int, error) {
		ids, err := client.Publisher{Node: server.URL}.Publish(ctx, system, lines)
		return len(ids), err
	}
	return load.Config{URL: server.URL, System: "bench", Sessions: 10, Rate: 1000, Duration: 300 * time.Millisecond,
		Wait: 5 * time.Second, Publish: post}, post
}

func TestALoadOnANodeAccountsForEverything(t *testing.T) {
	for _, everyone := range []bool{false, true} {
		cfg, _ := node(t)
		cfg.Everyone, cfg.Size = everyone, 500
		got, err := load.Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		want := 300
		if everyone {
			want = 3000
		}
		if got.Messages != 300 || got.Published != 300 || got.Delivered != want || got.Fault() != nil || got.Sessions != 10 || got.Gaps != 0 {
			t.Errorf("to all %v: %+v", everyone, got)
		}
		if l := got.Latency; l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max || l.Max > 20*time.Second {
			t.Errorf("latencies %+v", l)
		}
	}
}

func TestOthersMessagesMayComeWhileSessionsConnect(t *testing.T) {
	cfg, post := node(t)
	cfg.Sessions, cfg.Duration = 50, 50*time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_, _ = post(ctx, "bench", []byte(`{"to":"*","data":{"run":"another"}}`+"\n"))
		}
	}()
	got, err := load.Run(t.Context(), cfg)
	stop()
	<-ended
	if err != nil || got.Fault() != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// spoil changes each batch of two lines or more on its way.
func spoil(post publish, change func(lines [][]byte) [][]byte) publish {
	return func(ctx context.Context, system string, lines []byte) (int, error) {
		all := bytes.SplitAfter(bytes.TrimSpace(lines), []byte("\n"))
		n := len(all)
		all[n-1] = append(all[n-1], '\n')
		if n > 1 {
			all = change(all)
		}
		if _, err := post(ctx, system, bytes.Join(all, nil)); err != nil {
			return 0, err
		}
		return n, nil
	}
}

func TestWhatIsLostTwiceOrOutOfOrderIsCounted(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(all [][]byte) [][]byte
		fault  func(r load.Report) int
	}{
		{"lost", func(all [][]byte) [][]byte { return all[1:] }, func(r load.Report) int { return r.Lost }},
		{"twice", func(all [][]byte) [][]byte {
			return append(all, bytes.Replace(all[0], []byte(`{"id":"`), []byte(`{"id":"again-`), 1))
		}, func(r load.Report) int { return r.Twice }},
		{"out of order", func(all [][]byte) [][]byte {
			all[0], all[1] = all[1], all[0]
			return all
		}, func(r load.Report) int { return r.Disordered }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, post := node(t)
			cfg.Sessions, cfg.Rate, cfg.Wait = 1, 5000, time.Second
			cfg.Publish = spoil(post, c.change)
			got, err := load.Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if c.fault(got) == 0 || got.Fault() == nil || got.Published != got.Messages {
				t.Errorf("%+v", got)
			}
			if sum := got.Lost + got.Twice + got.Disordered; sum != c.fault(got) {
				t.Errorf("it counted other faults, too: %+v", got)
			}
		})
	}
}

func TestLatencyCountsFromWhenAMessageWasDue(t *testing.T) {
	cfg, post := node(t)
	stalled := false
	cfg.Publish = func(ctx context.Context, system string, lines []byte) (int, error) {
		if !stalled {
			stalled = true
			<-time.After(200 * time.Millisecond) // a node that stalls
		}
		return post(ctx, system, lines)
	}
	got, err := load.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	// Of 300 messages 200 were due while it stalled: one a millisecond.
	if l := got.Latency; l.Max < 200*time.Millisecond || l.P50 < 50*time.Millisecond {
		t.Errorf("the stall does not show: %+v", l)
	}
}

func TestWhatWasNotTakenIsPublishedAgain(t *testing.T) {
	cfg, post := node(t)
	calls := 0
	cfg.Publish = func(ctx context.Context, system string, lines []byte) (int, error) {
		if calls++; calls%2 == 1 {
			_, _ = post(ctx, system, lines) // they are published, but the answer is lost
			return 0, errors.New("no answer")
		}
		return post(ctx, system, lines)
	}
	got, err := load.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got.Retries == 0 || got.Delivered != 300 || got.Fault() != nil {
		t.Errorf("%+v", got)
	}
}

func TestALoadThatCannotBeIsAnError(t *testing.T) {
	cfg, post := node(t)
	cfg.Publish = func(context.Context, string, []byte) (int, error) {
		return 0, fmt.Errorf("forbidden: %w", load.ErrFinal)
	}
	if _, err := load.Run(t.Context(), cfg); !errors.Is(err, load.ErrFinal) {
		t.Errorf("publishing is forbidden: %v", err)
	}
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer refuses.Close()
	cfg.Publish, cfg.URL = post, refuses.URL
	if _, err := load.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("sessions are refused: %v", err)
	}
	for _, change := range []func(*load.Config){
		func(c *load.Config) { c.Sessions = 0 }, func(c *load.Config) { c.Sessions = load.MaxSessions + 1 },
		func(c *load.Config) { c.Rate = 0 }, func(c *load.Config) { c.Duration = 2 * time.Hour },
		func(c *load.Config) { c.Size = -1 },
		func(c *load.Config) { c.Everyone, c.Sessions, c.Rate, c.Duration = true, 10_000, 10_000, time.Minute },
	} {
		bad := cfg
		change(&bad)
		if err := bad.Validate(); err == nil {
			t.Errorf("valid: %+v", bad)
		}
	}
}

func TestALoadEndsWithItsContextAndReports(t *testing.T) {
	cfg, post := node(t)
	cfg.Duration = 10 * time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg.Publish = func(inner context.Context, system string, lines []byte) (int, error) {
		defer cancel()
		return post(inner, system, lines)
	}
	got, err := load.Run(ctx, cfg)
	if err != nil || got.Published == 0 || got.Published == got.Messages || got.Fault() == nil {
		t.Errorf("%+v, %v", got, err)
	}
	var out bytes.Buffer
	if err := got.JSON(&out); err != nil || !json.Valid(out.Bytes()) {
		t.Errorf("%s, %v", out.Bytes(), err)
	}
}
