package cluster

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	mostLines = 2000 // that a timeline keeps
	mostShown = 40   // with one failure
)

// A timeline notes what happened, so that a failed test can tell. It is safe
// for concurrent use.
type timeline struct {
	start time.Time

	mu    sync.Mutex
	lines []line // the newest; guarded by mu
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

// add notes what happened to a node, or to the cluster for "".
func (t *timeline) add(who, format string, args ...any) {
	t.note(line{who: who, text: fmt.Sprintf(format, args...)})
}

// addClient notes what happened to a client.
func (t *timeline) addClient(who, format string, args ...any) {
	t.note(line{who: who, client: true, text: fmt.Sprintf(format, args...)})
}

func (t *timeline) note(l line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) >= mostLines {
		t.lines = append(t.lines[:0], t.lines[mostLines/2:]...)
	}
	l.at = time.Since(t.start)
	t.lines = append(t.lines, l)
}

// of returns what happened, but to other clients.
func (t *timeline) of(who string) string {
	return t.show(func(l line) bool { return !l.client || l.who == who }, mostShown)
}

func (t *timeline) all() string {
	return t.show(func(line) bool { return true }, mostLines)
}

func (t *timeline) show(which func(line) bool, most int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var shown []string
	for _, l := range t.lines {
		if which(l) {
			shown = append(shown, l.String())
		}
	}
	if left := len(shown) - most; left > 0 {
		shown = append([]string{fmt.Sprintf("  (%d lines before)", left)}, shown[left:]...)
	}
	return strings.Join(shown, "\n")
}

// A logWriter notes what a node logs.
type logWriter struct {
	*timeline
	who string
}

func (w logWriter) Write(p []byte) (int, error) {
	w.add(w.who, "%s", strings.TrimSpace(string(p)))
	return len(p), nil
}
