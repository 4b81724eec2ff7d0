package groupcommit

import (
	"context"
	"sync"
	"time"
)

// A deadlineContext is what [context.WithDeadline] makes of [context.Background],
// except that its timer starts when somebody first waits for Done. A driver that
// answers at once needs none. It is safe for concurrent use.
type deadlineContext struct {
	deadline time.Time

	mu     sync.Mutex
	err    error              // why it ended, as far as timed does not say; guarded by mu
	timed  context.Context    // nil until it is needed; guarded by mu
	cancel context.CancelFunc // of timed; guarded by mu
}

var _ context.Context = (*deadlineContext)(nil)

func (c *deadlineContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *deadlineContext) Done() <-chan struct{} { return c.timer().Done() }

func (c *deadlineContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed != nil {
		return c.timed.Err()
	}
	if c.err == nil && !time.Now().Before(c.deadline) {
		c.err = context.DeadlineExceeded
	}
	return c.err
}

// Value returns what the context with the timer returns, by which package context
// finds that one, and needs no goroutine for a context that is derived from this.
func (c *deadlineContext) Value(key any) any { return c.timer().Value(key) }

// timer returns the context with the timer.
func (c *deadlineContext) timer() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadline(context.Background(), c.deadline)
		if c.err == context.Canceled {
			c.cancel()
		}
	}
	return c.timed
}

// end cancels the context.
func (c *deadlineContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cancel != nil:
		c.cancel()
	case c.err == nil:
		c.err = context.Canceled
	}
}
