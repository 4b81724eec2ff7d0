package natsconn

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/domain"
)

// Refusals are what the server has refused on a connection since
// [Conn.WatchRefusals] was called. The server reports a refusal without saying
// which request it answers, only which subject. Refusals are safe for concurrent
// use.
type Refusals struct {
	conn        *Conn
	errorBefore error // the connection's last error when the watching began
	changed     chan struct{}

	// The following are guarded by the Conn's mu.
	byText     map[string]*refusal // by the text of the error
	overflowed bool                // there were more than maxRefusals
	tooMany    error               // the server has refused a subscription, because there are too many
}

// A refusal is one text of the server's, and how often it came.
type refusal struct {
	err   error
	times int
}

// maxRefusals is how many different refusals are remembered. Once there were more,
// every subject counts as possibly refused, since its refusal may be one that was
// not remembered.
const maxRefusals = 1024

// WatchRefusals begins to collect what the server refuses. The caller ends that
// with [Refusals.Stop].
func (c *Conn) WatchRefusals() *Refusals {
	r := &Refusals{conn: c, errorBefore: c.LastError(), changed: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusals[r] = struct{}{}
	return r
}

// note remembers err if it is a refusal, and signals a change in any case, for
// Settle. The caller holds the Conn's mu.
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

// Changed receives a value after an asynchronous error of the connection was
// noted.
func (r *Refusals) Changed() <-chan struct{} { return r.changed }

// Stop ends the collecting.
func (r *Refusals) Stop() {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	delete(r.conn.refusals, r)
}

// forget drops what was collected so far.
func (r *Refusals) forget() {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	clear(r.byText)
	r.overflowed, r.tooMany = false, nil
}

// Settle returns when every error that the connection had received when Settle was
// called has been noted: nats.go reports them from a goroutine of its own. If Settle
// returns an error, it is unknown what the server has refused.
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

// OfPublish says how often publishing on a subject was refused. If it was, err is a
// domain.ErrForbidden; with another error it is unknown.
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

// TooManySubscriptions returns an error if the server did not take a subscription
// because there are too many. The server does not say which one.
func (r *Refusals) TooManySubscriptions() error {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	return r.tooMany
}

// find looks for a refusal by its text, in which the operation is followed by the
// subject in quotes. The text after the given subject is next: a quote if it is the
// whole subject, a dot if it is a prefix.
func (r *Refusals) find(operation, subject, next string) (times int, err error) {
	text := operation + strings.TrimSuffix(strconv.Quote(subject), `"`) + next
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	for known, refusal := range r.byText {
		if strings.Contains(known, text) {
			return refusal.times, fmt.Errorf("%w: %w", domain.ErrForbidden, refusal.err)
		}
	}
	if r.overflowed {
		return 0, fmt.Errorf("%w: the server refused more than can be remembered, perhaps this too",
			domain.ErrBusDown)
	}
	return 0, nil
}
