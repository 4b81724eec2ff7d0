package cluster

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	maxLines = 2000 // how many lines a timeline keeps
	maxShown = 40   // how many lines a failure shows
)

// A timeline records what happened, so that a failed test can show it. It is
// safe for concurrent use.
type timeline struct {
	start time.Time

	mu    sync.Mutex
	lines []line // the newest lines; guarded by mu
}

type line struct {
	at     time.Duration
	who    string // a client or node; "" for the cluster
	client bool
	text   string
}

func (l line) String() string {
	who := l.who
	if who == "" {
		who = "the cluster"
	}
	return fmt.Sprintf("  %8.3fs  %-12s %s", l.at.Seconds(), who, l.text)
}

// add records what happened to a node, or to the cluster if who is "".
func (t *timeline) add(who, format string, args ...any) {
	t.note(line{who: who, text: fmt.Sprintf(format, args...)})
}

// addClient records what happened to a client.
func (t *timeline) addClient(who, format string, args ...any) {
	t.note(line{who: who, client: true, text: fmt.Sprintf(format, args...)})
}

func (t *timeline) note(l line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) >= maxLines {
		t.lines = append(t.lines[:0], t.lines[maxLines/2:]...)
	}
	l.at = time.Since(t.start)
	t.lines = append(t.lines, l)
}

// of returns the newest lines, without those about other clients.
func (t *timeline) of(who string) string {
	return t.show(func(l line) bool { return !l.client || l.who == who }, maxShown)
}

func (t *timeline) all() string {
	return t.show(func(line) bool { return true }, maxLines)
}

// show returns up to limit of the newest lines that are wanted.
func (t *timeline) show(wanted func(line) bool, limit int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var shown []string
	for _, l := range t.lines {
		if wanted(l) {
			shown = append(shown, l.String())
		}
	}
	if before := len(shown) - limit; before > 0 {
		shown = append([]string{fmt.Sprintf("  (%d lines before)", before)}, shown[before:]...)
	}
	return strings.Join(shown, "\n")
}

// A logWriter records what a node logs.
type logWriter struct {
	*timeline
	who string
}

func (w logWriter) Write(p []byte) (int, error) {
	w.add(w.who, "%s", strings.TrimSpace(string(p)))
	return len(p), nil
}
