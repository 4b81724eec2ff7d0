package sse

import (
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/internal/defaults"
)

// The defaults of [Config].
const (
	DefaultOutboxBytes  = 64 << 10
	DefaultOutboxFrames = 1024
	DefaultStall        = 20 * time.Second
	DefaultHeartbeat    = 15 * time.Second
	DefaultCloseWait    = 5 * time.Second
	DefaultRetry        = time.Second
	DefaultRetrySpan    = 3 * time.Second
)

// Config holds what may differ between nodes. Its zero value is usable: [New]
// gives every field that is zero its default.
type Config struct {
	OutboxBytes  int // most bytes of an outbox
	OutboxFrames int // most frames of an outbox

	Stall     time.Duration // time without progress after which a write ends the session
	Heartbeat time.Duration // silence after which a comment is sent
	CloseWait time.Duration // for a closing session to write its outbox
	Retry     time.Duration // that an EventSource waits at least before it comes back
	RetrySpan time.Duration // and a random part of this longer
}

func (c Config) withDefaults() Config {
	defaults.Set(&c.OutboxBytes, DefaultOutboxBytes)
	defaults.Set(&c.OutboxFrames, DefaultOutboxFrames)
	defaults.Set(&c.Stall, DefaultStall)
	defaults.Set(&c.Heartbeat, DefaultHeartbeat)
	defaults.Set(&c.CloseWait, DefaultCloseWait)
	defaults.Set(&c.Retry, DefaultRetry)
	defaults.Set(&c.RetrySpan, DefaultRetrySpan)
	return c
}

// Validate returns an error that names everything that is wrong with the
// settings. Zero values are right, since they stand for the defaults.
func (c Config) Validate() error {
	var faults []error
	for name, n := range map[string]int{
		"outbox_bytes": c.OutboxBytes, "outbox_frames": c.OutboxFrames,
	} {
		if n < 0 {
			faults = append(faults, fmt.Errorf("sse: %s: want at least 1, got %d", name, n))
		}
	}
	for name, d := range map[string]time.Duration{
		"stall": c.Stall, "heartbeat": c.Heartbeat, "close wait": c.CloseWait,
		"retry": c.Retry, "retry span": c.RetrySpan,
	} {
		if d < 0 {
			faults = append(faults, fmt.Errorf("sse: %s: must not be negative, got %v", name, d))
		}
	}
	return errors.Join(faults...)
}
