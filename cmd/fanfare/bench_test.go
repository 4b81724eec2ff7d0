package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestBenchReportsWhatArrived(t *testing.T) {
	url := node(t, nil, "dev").url()
	got := fanfareRun(t, "bench", "--url", url, "--clients", "5", "--rate", "200", "--duration", "500ms")
	if got.code != 0 || !strings.Contains(got.out, "published  100 of 100 in ") ||
		!strings.Contains(got.out, "delivered  100: 0 lost, 0 twice, 0 out of order") {
		t.Errorf("%+v", got)
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
	bench := []string{"bench", "--url", url, "--clients", "3", "--rate", "100", "--duration", "200ms", "--to", "all", "--json"}

	env := []string{"FANFARE_KEY=" + key, "FANFARE_AUTH_JWT_SECRET=" + secret}
	got := fanfareWith(t, "", env, bench...)
	var report struct{ Delivered, Lost int }
	if err := json.Unmarshal([]byte(got.out), &report); err != nil || got.code != 0 || report.Delivered != 60 || report.Lost != 0 {
		t.Errorf("%+v: %v", got, err)
	}
	for name, env := range map[string][]string{"no secret": env[:1], "no key": env[1:]} {
		if got := fanfareWith(t, "", env, bench...); got.code != 1 || !strings.Contains(got.err, "401") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestWhatBenchCannotDoIsOneClearLine(t *testing.T) {
	for _, args := range [][]string{{"--to", "nobody"}, {"--rate", "0"}, {"--clients", "100000"}, {"--system", "No"}, {"--duration", "-1s"}} {
		got := fanfareRun(t, append([]string{"bench", "--url", "http://127.0.0.1:1"}, args...)...)
		if got.code != 2 || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, args[0][2:]) {
			t.Errorf("%v: %+v", args, got)
		}
	}
}
