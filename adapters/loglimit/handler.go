// Package loglimit bounds how many log lines others can cause. What a client
// does can be logged without a thought for how often it does that: a [Handler]
// stands in front of a program's own, lets so many lines of a kind pass, and
// says in the next one how many it has left out.
//
// A line's kind is its message, which is constant text, together with its
// attribute "reason" if it has one: who causes one kind in a flood hides no
// other.
package loglimit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// How many lines of one kind pass. Below slog.LevelInfo, somebody is looking
// for something: ten times as many do.
const (
	Burst     = 50 // at once
	PerSecond = 1  // in the long run

	debugFactor = 10
)

// LeftOut is the attribute that says how many lines of the same kind were left
// out since the last one.
const LeftOut = "left_out"

// maxKinds bounds what is remembered. Kinds beyond it are one.
const maxKinds = 1000

// A Handler is a slog.Handler that passes a bounded number of lines to another.
// It is as safe for concurrent use as that one is.
type Handler struct {
	next  slog.Handler
	kind  string // of all lines; "" if each says it itself
	kinds *kinds
}

// New returns a Handler in front of next, or next itself if it is one.
func New(next slog.Handler) *Handler {
	if h, ok := next.(*Handler); ok {
		return h
	}
	return &Handler{next: next, kinds: &kinds{of: make(map[key]*allowance)}}
}

// Kind returns a Handler whose lines are all of one kind, for sources whose
// messages are never the same.
func (h *Handler) Kind(name string) *Handler {
	return &Handler{next: h.next, kind: name, kinds: h.kinds}
}

// Enabled is next's.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle passes the line on, or leaves it out.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	k := key{level: r.Level, text: h.kind}
	if k.text == "" {
		k.text, k.reason = r.Message, reason(r)
	}
	pass, left := h.kinds.take(k, r.Time)
	if !pass {
		return nil
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Uint64(LeftOut, left))
	}
	return h.next.Handle(ctx, r)
}

// WithAttrs is next's, within the same bounds.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{next: h.next.WithAttrs(attrs), kind: h.kind, kinds: h.kinds}
}

// WithGroup is next's, within the same bounds.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{next: h.next.WithGroup(name), kind: h.kind, kinds: h.kinds}
}

func reason(r slog.Record) (text string) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "reason" {
			text = a.Value.String()
			return false
		}
		return true
	})
	return text
}

// A key is a kind of line.
type key struct {
	level        slog.Level
	text, reason string
}

// kinds knows how many lines of each kind may pass. It is safe for concurrent
// use.
type kinds struct {
	mu sync.Mutex
	of map[key]*allowance // guarded by mu
}

// An allowance is what is left of one kind.
type allowance struct {
	lines float64 // that may pass at the time at
	at    time.Time
	left  uint64 // left out since one passed
}

// take says whether a line passes, and how many were left out before it.
func (s *kinds) take(k key, now time.Time) (pass bool, left uint64) {
	if now.IsZero() {
		now = time.Now()
	}
	burst, rate := float64(Burst), float64(PerSecond)
	if k.level < slog.LevelInfo {
		burst, rate = debugFactor*burst, debugFactor*rate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.of[k]
	if a == nil && len(s.of) >= maxKinds {
		k = key{level: k.level}
		a = s.of[k]
	}
	if a == nil {
		a = &allowance{lines: burst, at: now}
		s.of[k] = a
	}
	if passed := now.Sub(a.at).Seconds(); passed > 0 {
		a.lines, a.at = min(a.lines+passed*rate, burst), now
	}
	if a.lines < 1 {
		a.left++
		return false, 0
	}
	a.lines--
	left, a.left = a.left, 0
	return true, left
}
