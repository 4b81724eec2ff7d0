package driverkit

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// A Log keeps what is logged, for tests to search. It is safe for concurrent
// use. The zero Log is empty.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write appends to the log.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// Logger returns a logger that writes to the log from level info on.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// String returns everything that was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Lines returns the lines that contain all of the words.
func (l *Log) Lines(words ...string) (found []string) {
	for line := range strings.Lines(l.String()) {
		matches := true
		for _, word := range words {
			matches = matches && strings.Contains(line, word)
		}
		if matches {
			found = append(found, line)
		}
	}
	return found
}

// Contains reports whether a line contains all of the words.
func (l *Log) Contains(words ...string) bool { return len(l.Lines(words...)) > 0 }
