package natsconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/domain"
)

// A Conn is a connection that ends when it is interrupted. It is safe for
// concurrent use.
type Conn struct {
	*nats.Conn
	ended        chan struct{}
	heard        atomic.Int64 // nanoseconds since 1970
	replyTimeout time.Duration
	inboxPrefix  string // what subjects for answers begin with

	mu         sync.Mutex
	inboxErr   error                  // answers cannot be heard any more, and why; guarded by mu
	inboxErrAt time.Time              // when that was told; guarded by mu
	lastNoted  error                  // the last error that failed was told; guarded by mu
	refusals   map[*Refusals]struct{} // guarded by mu
}

// Ended is closed when the connection is over.
func (c *Conn) Ended() <-chan struct{} { return c.ended }

// LastHeard is when the server last sent something.
func (c *Conn) LastHeard() time.Time { return time.Unix(0, c.heard.Load()) }

// Sync returns when the server has dealt with all that was sent before, within
// the reply timeout.
func (c *Conn) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.replyTimeout)
	defer cancel()
	return c.FlushWithContext(ctx)
}

// EndCause says why the connection is over.
func (c *Conn) EndCause() error {
	if err, _ := c.inboxDenied(); err != nil {
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

// onAsyncError hears of what went wrong on the connection without ending it. A server
// that refuses a subscription to answers has dropped it, and will not take it
// again by itself when the right is given back: that connection is over.
func (c *Conn) onAsyncError(nc *nats.Conn, _ *nats.Subscription, err error) {
	if c.note(err) {
		nc.Close()
	}
}

func (c *Conn) note(err error) (over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastNoted = err
	for w := range c.refusals {
		w.note(err)
	}
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `Subscription to "`+c.inboxPrefix+".") {
		return false
	}
	c.inboxErr = fmt.Errorf("%w: the user may not subscribe to answers (inbox_prefix): %v", domain.ErrBusDown, err)
	c.inboxErrAt = time.Now()
	return true
}

// inboxDenied says why answers cannot be heard, and since when.
func (c *Conn) inboxDenied() (error, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inboxErr, c.inboxErrAt
}

// WatchRefusals starts to note what the server refuses, until Stop.
func (c *Conn) WatchRefusals() *Refusals {
	w := &Refusals{conn: c, errorBefore: c.LastError(), changed: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusals[w] = struct{}{}
	return w
}

// A Refusals notes what the server refused since it began: the server tells that
// without saying to which request it belongs. It is safe for concurrent use.
type Refusals struct {
	conn        *Conn
	errorBefore error
	changed     chan struct{}
	byText      map[string]*refusal // by what they say; guarded by the Conn's mu
	overflowed  bool                // there were more than refused has room for; guarded by the Conn's mu
	tooMany     error               // a subscription, it is not said which, was one too many; guarded by the Conn's mu
}

// A refusal is what the server said, so many times.
type refusal struct {
	err   error
	times int
}

// maxRefused is how many different refusals a Watch remembers. Beyond that it
// takes everything for refused: what it forgot may be what it is asked about.
const maxRefusals = 1024

func (r *Refusals) note(err error) {
	if errors.Is(err, nats.ErrMaxSubscriptionsExceeded) {
		r.tooMany = err
	}
	if errors.Is(err, nats.ErrPermissionViolation) {
		switch known := r.byText[err.Error()]; {
		case known != nil:
			known.times++
		case len(r.byText) >= maxRefusals:
			r.overflowed = true
		default:
			if r.byText == nil {
				r.byText = make(map[string]*refusal)
			}
			r.byText[err.Error()] = &refusal{err, 1}
		}
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Changed is sent to after something was noted.
func (r *Refusals) Changed() <-chan struct{} { return r.changed }

// Stop ends the noting.
func (r *Refusals) Stop() {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	delete(r.conn.refusals, r)
}

// forget drops what was noted.
func (r *Refusals) forget() {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	clear(r.byText)
	r.overflowed, r.tooMany = false, nil
}

// Settle returns when all is noted that the server had told when Settle was
// called. With an error it is not known what the server refused.
func (r *Refusals) Settle(ctx context.Context) error {
	for !r.settled() {
		select {
		case <-r.changed:
		case <-r.conn.ended:
			return r.conn.EndCause()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (r *Refusals) settled() bool {
	last := r.conn.LastError()
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	return last == nil || last == r.errorBefore || last == r.conn.lastNoted
}

// OfPublish says how often publishing on a subject was refused, with a
// domain.ErrForbidden. With another error it is not known.
func (r *Refusals) OfPublish(subject string) (times int, err error) {
	return r.find("Publish to ", subject, `"`)
}

// OfPublishUnder returns a domain.ErrForbidden if publishing on any subject that
// begins with prefix and a dot was refused.
func (r *Refusals) OfPublishUnder(prefix string) error {
	_, err := r.find("Publish to ", prefix, ".")
	return err
}

// OfSubscribe returns a domain.ErrForbidden if subscribing to a subject was refused.
func (r *Refusals) OfSubscribe(subject string) error {
	_, err := r.find("Subscription to ", subject, `"`)
	return err
}

// TooManySubscriptions returns an error if the server did not take a subscription since there
// are too many. It does not say which one.
func (r *Refusals) TooManySubscriptions() error {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	return r.tooMany
}

// find looks for what the server says when it refuses something: the subject in
// quotes. What follows it there is next.
func (r *Refusals) find(what, subject, next string) (times int, err error) {
	said := what + strings.TrimSuffix(strconv.Quote(subject), `"`) + next
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	for text, r := range r.byText {
		if strings.Contains(text, said) {
			return r.times, fmt.Errorf("%w: %w", domain.ErrForbidden, r.err)
		}
	}
	if r.overflowed {
		return 0, fmt.Errorf("%w: the server refused more than can be remembered, perhaps this too", domain.ErrBusDown)
	}
	return 0, nil
}

// A dialer connects as nats.go asks it to, and notes when a connection hears
// something.
type dialer struct {
	ctx     context.Context
	timeout time.Duration
	owner   *Conn
	err     error // why it got no connection
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	nc, err := (&net.Dialer{Timeout: d.timeout}).DialContext(d.ctx, network, address)
	if d.err = err; err != nil {
		return nil, err
	}
	return newHeardConn(d.ctx, nc, d.owner), nil
}

// A heardConn is a network connection that notes when it hears something, and ends
// with a context.
type heardConn struct {
	net.Conn
	stopAfterFunc func() bool
	owner         *Conn
}

func newHeardConn(ctx context.Context, nc net.Conn, c *Conn) *heardConn {
	c.heard.Store(time.Now().UnixNano())
	return &heardConn{nc, context.AfterFunc(ctx, func() { _ = nc.Close() }), c}
}

func (w *heardConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.owner.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

func (w *heardConn) Close() error {
	w.stopAfterFunc()
	return w.Conn.Close()
}
