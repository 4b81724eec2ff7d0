package transport

import (
	"log/slog"
	"sync"
	"time"
)

// A limitedLog writes at most one line in a time, and says in the next one how
// many lines it has left out. It is safe for concurrent use.
type limitedLog struct {
	every time.Duration

	mu      sync.Mutex
	last    time.Time // when a line was written; guarded by mu
	leftOut int       // lines since then; guarded by mu
}

// warn writes a warning to log, or counts it as left out.
func (l *limitedLog) warn(log *slog.Logger, text string, args ...any) {
	l.mu.Lock()
	now := time.Now()
	if !l.last.IsZero() && now.Sub(l.last) < l.every {
		l.leftOut++
		l.mu.Unlock()
		return
	}
	leftOut := l.leftOut
	l.last, l.leftOut = now, 0
	l.mu.Unlock()
	if leftOut > 0 {
		args = append(args, "left_out", leftOut)
	}
	log.Warn(text, args...)
}
