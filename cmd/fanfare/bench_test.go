package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBenchReportsWhatArrived(t *testing.T) {
	url := node(t, nil, "dev").url()
	page := filepath.Join(t.TempDir(), "report.html")
	got := fanfareRun(t, "bench", "--url", url, "--clients", "5", "--rate", "200", "--duration", "500ms", "--warm-up", "100ms", "--html", page)
	if got.code != 0 || got.err != "" || !strings.Contains(got.out, "published  100 of 100 in ") ||
		!strings.Contains(got.out, ": 0 lost, 0 repeated, 0 out of order") || !strings.Contains(got.out, "µs of CPU a delivery") {
		t.Errorf("%+v", got)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "<svg") {
		t.Errorf("the page is %d bytes, %v", len(text), err)
	}
}

func TestBenchSaysHowFarItIsWhenAsked(t *testing.T) {
	url := node(t, nil, "dev").url()
	got := fanfareRun(t, "bench", "--url", url, "--scenario", "fan-out", "--in-flight", "2", "--clients", "5", "--duration", "1200ms", "--warm-up", "0s", "--progress")
	if got.code != 0 || !strings.Contains(got.err, "5 clients") || !strings.Contains(got.err, "/s delivered") {
		t.Errorf("%+v", got)
	}
}

func TestInterruptedBenchSaysWhatWas(t *testing.T) {
	url := node(t, nil, "dev").url()
	p := start(t, nil, "bench", "--url", url, "--clients", "5", "--duration", "10m", "--progress")
	p.line("5 clients")
	p.signal(os.Interrupt)
	p.line("0 lost, 0 repeated, 0 out of order")
	p.line("interrupted: this is what happened until then")
	if p.exit() != 1 {
		t.Errorf("it ended with %d: %s", p.code, p.output())
	}
}

func TestBenchMintsTokensWithTheNodesSecret(t *testing.T) {
	made := fanfareRun(t, "key", "--name", "bench", "--scopes", "publish/bench")
	var key, entry string
	for line := range strings.Lines(made.out) {
		if k, ok := strings.CutPrefix(line, "key:"); ok {
			key = strings.TrimSpace(k)
		}
		if e, ok := strings.CutPrefix(line, "entry:"); ok {
			entry = strings.TrimSpace(e)
		}
	}
	url := node(t, nil, "serve", "--auth.jwt.secret", secret, "--auth.api_keys", entry, "--systems", "bench").url()
	bench := []string{"bench", "--url", url, "--clients", "3", "--rate", "100", "--duration", "200ms", "--warm-up", "0s", "--scenario", "fan-out", "--json"}

	env := []string{"FANFARE_KEY=" + key, "FANFARE_AUTH_JWT_SECRET=" + secret}
	got := fanfareWith(t, "", env, bench...)
	var report struct {
		Delivered, Lost int
		Args            []string
	}
	if err := json.Unmarshal([]byte(got.out), &report); err != nil || got.code != 0 || report.Delivered != 60 || report.Lost != 0 {
		t.Errorf("%+v: %v", got, err)
	}
	for name, env := range map[string][]string{"no secret": env[:1], "no key": env[1:]} {
		if got := fanfareWith(t, "", env, bench...); got.code != 1 || !strings.Contains(got.err, "401") || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	shown := fanfareWith(t, "", nil, append(bench, "--key", key, "--auth.jwt.secret", secret)...)
	if shown.code != 0 || strings.Contains(shown.out, key) || strings.Contains(shown.out, secret) || !strings.Contains(shown.out, `"--key=(hidden)"`) {
		t.Errorf("a secret shows: %+v", shown)
	}
}

func TestWhatBenchCannotDoIsOneClearLine(t *testing.T) {
	for want, args := range map[string][]string{
		"--scenario: ":               {"--scenario", "all"},
		"--rate: 0":                  {"--rate", "0"},
		"--clients: 100001":          {"--clients", "100001"},
		"--system: ":                 {"--system", "No"},
		"--duration: -1s":            {"--duration", "-1s"},
		"--ramp: \"fast\"":           {"--ramp", "fast"},
		"--rate and --in-flight":     {"--rate", "5", "--in-flight", "5"},
		"--via: nobody hears":        {"--via", "memory://"},
		"unknown scheme \"radius\"":  {"--via", "radius://h"},
		"--via: this URL":            {"--via", "redis://h:port"},
		"--protocol: a plain client": {"--protocol", "plain", "--scenario", "resume"},
		"--url: ":                    {"--url", "h:80"},
	} {
		got := fanfareRun(t, append([]string{"bench", "--url", "http://127.0.0.1:1"}, args...)...)
		if got.code != 2 || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, want) {
			t.Errorf("%v: %+v; want %q", args, got, want)
		}
	}
}
