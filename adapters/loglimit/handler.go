// Package loglimit bounds how many log lines clients can cause. With it, a
// program can log what a client does without asking how often the client does
// it.
//
// A [Handler] stands in front of the program's own handler. For each kind of
// line it lets a bounded number pass, and adds to the next line that passes how
// many it has left out. A line's kind is its level, its message, which should be
// constant text, and its attribute "reason" if there is one. A flood of one kind
// does not suppress lines of another.
//
// Lines with an attribute "command" all pass: operators have caused them, and want to find
// every one of them again.
package loglimit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// How many lines of one kind pass.
const (
	Burst     = 50 // at once
	PerSecond = 1  // in the long run

	// debugFactor is how many times as many lines pass below slog.LevelInfo,
	// where somebody has turned on the level to look for something.
	debugFactor = 10
)

// LeftOut is the name of the attribute that says how many lines of the same kind
// were left out since the last one that passed.
const LeftOut = "left_out"

// maxKinds bounds how many kinds are remembered. All lines of further kinds
// count as one kind for each level.
const maxKinds = 1000

// A Handler is a [slog.Handler] that passes a bounded number of lines to
// another handler. It is safe for concurrent use if the other one is.
type Handler struct {
	next  slog.Handler
	kind  string // of all lines; "" if each line has its own
	kinds *kinds // shared with all handlers that were derived from the same one
}

// New returns a Handler in front of next, or next itself if that is a Handler.
func New(next slog.Handler) *Handler {
	if h, ok := next.(*Handler); ok {
		return h
	}
	return &Handler{next: next, kinds: &kinds{buckets: make(map[key]*bucket)}}
}

// Kind returns a Handler whose lines are all of one kind. It is for sources
// whose messages are not constant text.
func (h *Handler) Kind(name string) *Handler {
	return &Handler{next: h.next, kind: name, kinds: h.kinds}
}

// Enabled reports whether the other handler handles lines of the level.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle passes the line to the other handler, or leaves it out.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	reason, command := inspect(r)
	if command {
		return h.next.Handle(ctx, r)
	}
	k := key{level: r.Level, text: h.kind}
	if k.text == "" {
		k.text, k.reason = r.Message, reason
	}
	pass, leftOut := h.kinds.take(k, r.Time)
	if !pass {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Uint64(LeftOut, leftOut))
	}
	return h.next.Handle(ctx, r)
}

// WithAttrs returns a Handler that adds attributes and shares h's bounds.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{next: h.next.WithAttrs(attrs), kind: h.kind, kinds: h.kinds}
}

// WithGroup returns a Handler that opens a group and shares h's bounds.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{next: h.next.WithGroup(name), kind: h.kind, kinds: h.kinds}
}

// inspect returns the line's attribute "reason", and whether it has one "command".
func inspect(r slog.Record) (reason string, command bool) {
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "reason":
			reason = a.Value.String()
		case "command":
			command = true
		}
		return !command
	})
	return reason, command
}

// A key identifies a kind of line.
type key struct {
	level        slog.Level
	text, reason string
}

// kinds holds a token bucket for each kind of line. It is safe for concurrent
// use.
type kinds struct {
	mu      sync.Mutex
	buckets map[key]*bucket // guarded by mu
}

// A bucket says how many lines of one kind may pass.
type bucket struct {
	tokens  float64   // lines that could pass at the time updated
	updated time.Time // when tokens was computed
	leftOut uint64    // lines left out since the last one that passed
}

// take reports whether a line passes, and if so how many lines of its kind were
// left out before it.
func (s *kinds) take(k key, now time.Time) (pass bool, leftOut uint64) {
	if now.IsZero() {
		now = time.Now()
	}
	burst, rate := float64(Burst), float64(PerSecond)
	if k.level < slog.LevelInfo {
		burst, rate = debugFactor*burst, debugFactor*rate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[k]
	if b == nil && len(s.buckets) >= maxKinds {
		k = key{level: k.level}
		b = s.buckets[k]
	}
	if b == nil {
		b = &bucket{tokens: burst, updated: now}
		s.buckets[k] = b
	}
	if elapsed := now.Sub(b.updated).Seconds(); elapsed > 0 {
		b.tokens, b.updated = min(b.tokens+elapsed*rate, burst), now
	}
	if b.tokens < 1 {
		b.leftOut++
		return false, 0
	}
	b.tokens--
	leftOut, b.leftOut = b.leftOut, 0
	return true, leftOut
}
