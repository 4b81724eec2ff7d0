package sse

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Config holds what may differ between nodes. Its zero value is usable; New
// fills in the defaults named here.
type Config struct {
	OutboxBytes  int // most bytes of an outbox; default 64 KiB
	OutboxFrames int // most frames of an outbox; default 1024

	Stall     time.Duration // a write without progress ends the session; default 20 s
	Heartbeat time.Duration // of silence before a comment is sent; default 15 s
	CloseWait time.Duration // for a closing session to take what is written; default 5 s
	Retry     time.Duration // an EventSource waits so long before it comes back; default 1 s
	RetrySpan time.Duration // and up to so much longer, each another; default 3 s
}

func (c Config) withDefaults() Config {
	c.OutboxBytes = cmp.Or(c.OutboxBytes, 64<<10)
	c.OutboxFrames = cmp.Or(c.OutboxFrames, 1024)
	c.Stall = cmp.Or(c.Stall, 20*time.Second)
	c.Heartbeat = cmp.Or(c.Heartbeat, 15*time.Second)
	c.CloseWait = cmp.Or(c.CloseWait, 5*time.Second)
	c.Retry = cmp.Or(c.Retry, time.Second)
	c.RetrySpan = cmp.Or(c.RetrySpan, 3*time.Second)
	return c
}

// Validate says everything that is wrong with the settings; zero values are
// right.
func (c Config) Validate() error {
	c = c.withDefaults()
	var faults []error
	for name, n := range map[string]int{"outbox_bytes": c.OutboxBytes, "outbox_frames": c.OutboxFrames} {
		if n < 1 {
			faults = append(faults, fmt.Errorf("sse: %s: want at least 1, got %d", name, n))
		}
	}
	for name, d := range map[string]time.Duration{
		"stall": c.Stall, "heartbeat": c.Heartbeat, "close wait": c.CloseWait, "retry": c.Retry, "retry span": c.RetrySpan,
	} {
		if d < 0 {
			faults = append(faults, fmt.Errorf("sse: %s: must not be negative, got %v", name, d))
		}
	}
	return errors.Join(faults...)
}
