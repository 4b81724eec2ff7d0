package transport

import (
	"log/slog"
	"sync/atomic"
)

// A LossCounter is a driver that notices what its consumer groups have lost, because the
// bus has trimmed it before it was acked. [Stats] has the number.
type LossCounter interface {
	// Lost returns how many messages the members of groups here have found to be gone,
	// in all topics and groups together. It may be called concurrently.
	Lost() uint64
}

// GroupLosses are a [LossCounter] for drivers to embed. The zero value has noticed nothing.
// It is safe for concurrent use.
type GroupLosses struct{ n atomic.Uint64 }

// Lost returns the sum of what was noted.
func (l *GroupLosses) Lost() uint64 { return l.n.Load() }

// Note counts n messages that are lost to a group, and logs it; 0 is nothing.
func (l *GroupLosses) Note(log *slog.Logger, group, topic string, n uint64) {
	if n == 0 {
		return
	}
	l.n.Add(n)
	log.Error("messages are lost to a consumer group: the bus has trimmed them before they were acked; "+
		"keep them for longer (retention), or consume faster", "group", group, "topic", topic, "lost", n)
}
