package natsconn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/domain"
)

// A Conn is a connection to a NATS server. It never reconnects: an interruption
// ends it. It is safe for concurrent use.
type Conn struct {
	*nats.Conn
	ended        chan struct{}
	heard        atomic.Int64 // when bytes last came, in nanoseconds since 1970
	replyTimeout time.Duration
	inboxPrefix  string // subjects for answers begin with it and a dot

	mu         sync.Mutex
	inboxErr   error                  // why answers cannot be received any more; guarded by mu
	inboxErrAt time.Time              // when inboxErr was set; guarded by mu
	lastNoted  error                  // the newest asynchronous error noted; guarded by mu
	refusals   map[*Refusals]struct{} // those that are not stopped; guarded by mu
}

// Ended is closed when the connection is over.
func (c *Conn) Ended() <-chan struct{} { return c.ended }

// LastHeard is when the server last sent something.
func (c *Conn) LastHeard() time.Time { return time.Unix(0, c.heard.Load()) }

// Sync returns when the server has processed everything that was sent before. It
// waits no longer than the reply timeout.
func (c *Conn) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.replyTimeout)
	defer cancel()
	return c.FlushWithContext(ctx)
}

// EndCause says why the connection is over.
func (c *Conn) EndCause() error {
	if _, err := c.inboxDenied(); err != nil {
		return err
	}
	if err := c.LastError(); err != nil && !errors.Is(err, nats.ErrPermissionViolation) {
		return err
	}
	return nats.ErrConnectionClosed
}

func (c *Conn) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return c.IsClosed()
	}
}

func (c *Conn) closeAndWait() {
	c.Conn.Close()
	<-c.ended
}

// onAsyncError is called by nats.go with errors that do not end the connection.
// After one of them c ends it nevertheless: when the server refuses a subscription
// to answers, it has dropped that subscription, and does not take it again by
// itself when the user is given the right back.
func (c *Conn) onAsyncError(nc *nats.Conn, _ *nats.Subscription, err error) {
	if c.note(err) {
		nc.Close()
	}
}

// note passes err to all Refusals. It reports whether the connection has become
// useless.
func (c *Conn) note(err error) (useless bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastNoted = err
	for r := range c.refusals {
		r.note(err)
	}
	ofInbox := `Subscription to "` + c.inboxPrefix + "."
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), ofInbox) {
		return false
	}
	c.inboxErr = fmt.Errorf("%w: the user may not subscribe to answers (inbox_prefix): %v",
		domain.ErrBusDown, err)
	c.inboxErrAt = time.Now()
	return true
}

// inboxDenied says why answers cannot be received, and since when. Its error is
// nil if they can.
func (c *Conn) inboxDenied() (since time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inboxErrAt, c.inboxErr
}
