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
	ended chan struct{}
	heard atomic.Int64 // nanoseconds since 1970
	reply time.Duration
	inbox string // what subjects for answers begin with

	mu      sync.Mutex
	barred  error               // answers cannot be heard any more, and why; guarded by mu
	since   time.Time           // when that was told; guarded by mu
	seen    error               // the last error that failed was told; guarded by mu
	watches map[*Watch]struct{} // guarded by mu
}

// Ended is closed when the connection is over.
func (c *Conn) Ended() <-chan struct{} { return c.ended }

// LastHeard is when the server last sent something.
func (c *Conn) LastHeard() time.Time { return time.Unix(0, c.heard.Load()) }

// Sync returns when the server has dealt with all that was sent before, within
// the reply timeout.
func (c *Conn) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.reply)
	defer cancel()
	return c.FlushWithContext(ctx)
}

// Why says why the connection is over.
func (c *Conn) Why() error {
	if err, _ := c.bar(); err != nil {
		return err
	}
	if err := c.LastError(); err != nil && !errors.Is(err, nats.ErrPermissionViolation) {
		return err
	}
	return nats.ErrConnectionClosed
}

func (c *Conn) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return c.IsClosed()
	}
}

func (c *Conn) end() {
	c.Conn.Close()
	<-c.ended
}

// failed hears of what went wrong on the connection without ending it. A server
// that refuses a subscription to answers has dropped it, and will not take it
// again by itself when the right is given back: that connection is over.
func (c *Conn) failed(nc *nats.Conn, _ *nats.Subscription, err error) {
	if c.note(err) {
		nc.Close()
	}
}

func (c *Conn) note(err error) (over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = err
	for w := range c.watches {
		w.note(err)
	}
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `Subscription to "`+c.inbox+".") {
		return false
	}
	c.barred = fmt.Errorf("%w: the user may not subscribe to answers (inbox_prefix): %v", domain.ErrBusDown, err)
	c.since = time.Now()
	return true
}

// bar says why answers cannot be heard, and since when.
func (c *Conn) bar() (error, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.barred, c.since
}

// Watch starts to note what the server refuses, until Stop.
func (c *Conn) Watch() *Watch {
	w := &Watch{conn: c, before: c.LastError(), told: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watches[w] = struct{}{}
	return w
}

// A Watch notes what the server refused since it began: the server tells that
// without saying to which request it belongs. It is safe for concurrent use.
type Watch struct {
	conn    *Conn
	before  error
	told    chan struct{}
	refused map[string]*refusal // by what they say; guarded by the Conn's mu
	more    bool                // there were more than refused has room for; guarded by the Conn's mu
	crowded error               // a subscription, it is not said which, was one too many; guarded by the Conn's mu
}

// A refusal is what the server said, so many times.
type refusal struct {
	err   error
	times int
}

// maxRefused is how many different refusals a Watch remembers. Beyond that it
// takes everything for refused: what it forgot may be what it is asked about.
const maxRefused = 1024

func (w *Watch) note(err error) {
	if errors.Is(err, nats.ErrMaxSubscriptionsExceeded) {
		w.crowded = err
	}
	if errors.Is(err, nats.ErrPermissionViolation) {
		switch known := w.refused[err.Error()]; {
		case known != nil:
			known.times++
		case len(w.refused) >= maxRefused:
			w.more = true
		default:
			if w.refused == nil {
				w.refused = make(map[string]*refusal)
			}
			w.refused[err.Error()] = &refusal{err, 1}
		}
	}
	select {
	case w.told <- struct{}{}:
	default:
	}
}

// Told is sent to after something was noted.
func (w *Watch) Told() <-chan struct{} { return w.told }

// Stop ends the noting.
func (w *Watch) Stop() {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	delete(w.conn.watches, w)
}

// forget drops what was noted.
func (w *Watch) forget() {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	clear(w.refused)
	w.more, w.crowded = false, nil
}

// Settle returns when all is noted that the server had told when Settle was
// called. With an error it is not known what the server refused.
func (w *Watch) Settle(ctx context.Context) error {
	for !w.settled() {
		select {
		case <-w.told:
		case <-w.conn.ended:
			return w.conn.Why()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (w *Watch) settled() bool {
	last := w.conn.LastError()
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	return last == nil || last == w.before || last == w.conn.seen
}

// Publish says how often publishing on a subject was refused, with a
// domain.ErrForbidden. With another error it is not known.
func (w *Watch) Publish(subject string) (times int, err error) {
	return w.find("Publish to ", subject, `"`)
}

// PublishUnder returns a domain.ErrForbidden if publishing on any subject that
// begins with prefix and a dot was refused.
func (w *Watch) PublishUnder(prefix string) error {
	_, err := w.find("Publish to ", prefix, ".")
	return err
}

// Subscribe returns a domain.ErrForbidden if subscribing to a subject was refused.
func (w *Watch) Subscribe(subject string) error {
	_, err := w.find("Subscription to ", subject, `"`)
	return err
}

// Crowded returns an error if the server did not take a subscription since there
// are too many. It does not say which one.
func (w *Watch) Crowded() error {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	return w.crowded
}

// find looks for what the server says when it refuses something: the subject in
// quotes. What follows it there is next.
func (w *Watch) find(what, subject, next string) (times int, err error) {
	said := what + strings.TrimSuffix(strconv.Quote(subject), `"`) + next
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	for text, r := range w.refused {
		if strings.Contains(text, said) {
			return r.times, fmt.Errorf("%w: %w", domain.ErrForbidden, r.err)
		}
	}
	if w.more {
		return 0, fmt.Errorf("%w: the server refused more than can be remembered, perhaps this too", domain.ErrBusDown)
	}
	return 0, nil
}

// A dialer connects as nats.go asks it to, and notes when a connection hears
// something.
type dialer struct {
	ctx     context.Context
	timeout time.Duration
	conn    *Conn
	failed  error // why it got no connection
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	nc, err := (&net.Dialer{Timeout: d.timeout}).DialContext(d.ctx, network, address)
	if d.failed = err; err != nil {
		return nil, err
	}
	return newWire(d.ctx, nc, d.conn), nil
}

// A wire is a network connection that notes when it hears something, and ends
// with a context.
type wire struct {
	net.Conn
	forget func() bool
	conn   *Conn
}

func newWire(ctx context.Context, nc net.Conn, c *Conn) *wire {
	c.heard.Store(time.Now().UnixNano())
	return &wire{nc, context.AfterFunc(ctx, func() { _ = nc.Close() }), c}
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.conn.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

func (w *wire) Close() error {
	w.forget()
	return w.Conn.Close()
}
