package session

import (
	"context"
	"sync"
	"time"
)

// A deadlineContext is what [context.WithTimeout] returns, but costs next to nothing
// unless somebody waits for its end. Tokens are nearly always checked without waiting.
// It is safe for concurrent use.
type deadlineContext struct {
	context.Context // the parent
	deadline        time.Time

	mu     sync.Mutex
	timed  context.Context    // made when somebody waits; guarded by mu
	cancel context.CancelFunc // of timed; guarded by mu
	ended  bool               // end was called; guarded by mu
}

func newDeadlineContext(parent context.Context, timeout time.Duration) *deadlineContext {
	return &deadlineContext{Context: parent, deadline: time.Now().Add(timeout)}
}

// end releases what the context needs. Nobody may wait for it any more.
func (c *deadlineContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
}

// Deadline returns when the context ends.
func (c *deadlineContext) Deadline() (time.Time, bool) {
	if t, ok := c.Context.Deadline(); ok && t.Before(c.deadline) {
		return t, true
	}
	return c.deadline, true
}

// Done returns a channel that is closed when the context ends.
func (c *deadlineContext) Done() <-chan struct{} { return c.context().Done() }

// Err returns why the context has ended, nil if it has not.
func (c *deadlineContext) Err() error { return c.context().Err() }

func (c *deadlineContext) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadline(c.Context, c.deadline)
		if c.ended {
			c.cancel()
		}
	}
	return c.timed
}
