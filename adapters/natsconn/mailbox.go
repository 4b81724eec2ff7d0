package natsconn

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/domain"
)

// A Mailbox is a subscription with a bounded queue. One goroutine takes from it;
// Close may be called from another, and more than once.
type Mailbox struct {
	conn     *Conn
	sub      *nats.Subscription
	refusals *Refusals // tell when the right to subscribe is taken away
	bounds   Bounds
	arrived  chan struct{} // signals that queue or overflowed has changed
	closed   chan struct{} // closed by Close
	once     sync.Once

	mu         sync.Mutex
	queue      []*nats.Msg // guarded by mu
	size       int         // bytes in queue; guarded by mu
	overflowed bool        // a message was dropped; guarded by mu
}

// Bounds are how much a Mailbox keeps. When a message does not fit, it and all that
// follow are dropped, and the Mailbox ends once the messages before them were taken.
type Bounds struct{ Messages, Bytes int }

// Mailbox subscribes to a subject, in a queue group if group is not empty, and
// returns when the server has confirmed the subscription.
func (c *Conn) Mailbox(ctx context.Context, subject, group string, bounds Bounds) (*Mailbox, error) {
	m := &Mailbox{
		conn: c, refusals: c.WatchRefusals(), bounds: bounds,
		arrived: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	var err error
	if m.sub, err = c.QueueSubscribe(subject, group, m.put); err != nil {
		m.refusals.Stop()
		return nil, err
	}
	if err := m.confirm(ctx); err != nil {
		_ = m.Close()
		return nil, err
	}
	return m, nil
}

// confirm returns nil when it is certain that the server has taken the subscription.
func (m *Mailbox) confirm(ctx context.Context) error {
	// nats.go has a queue of its own before put. It gets the same bounds.
	if err := m.sub.SetPendingLimits(m.bounds.Messages, m.bounds.Bytes); err != nil {
		return err
	}
	if err := m.conn.Sync(ctx); err != nil {
		return err
	}
	if err := m.refusals.Settle(ctx); err != nil {
		return err
	}
	// The subscription that was too many may be another one. To fail without need is
	// better than to wait for messages that never come.
	if err := m.refusals.TooManySubscriptions(); err != nil {
		return err
	}
	return m.checkPermission()
}

// put is called by nats.go, in its goroutine for this subscription. It keeps nothing
// after the first message that was dropped, whether by put or by nats.go.
func (m *Mailbox) put(msg *nats.Msg) {
	dropped, _ := msg.Sub.Dropped()
	size := len(msg.Data)
	m.mu.Lock()
	switch {
	case m.overflowed || dropped > 0:
		m.overflowed = true
	case len(m.queue) >= m.bounds.Messages, m.size+size > m.bounds.Bytes && len(m.queue) > 0:
		m.overflowed = true
	default:
		m.queue, m.size = append(m.queue, msg), m.size+size
	}
	m.mu.Unlock()
	select {
	case m.arrived <- struct{}{}:
	default:
	}
}

// Len is the number of messages that wait to be taken.
func (m *Mailbox) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.queue)
}

// Take waits for messages and returns at most n of them. It returns no message and
// no error if none has come within the given time; 0 means no limit. Messages that
// came before the mailbox ended are returned before the error.
func (m *Mailbox) Take(ctx context.Context, n int, within time.Duration) ([]*nats.Msg, error) {
	var timeout <-chan time.Time
	for {
		batch, overflowed := m.dequeue(n)
		switch {
		case len(batch) > 0:
			return batch, nil
		case overflowed:
			return nil, fmt.Errorf("%w: more than %d messages or %d bytes were waiting",
				nats.ErrSlowConsumer, m.bounds.Messages, m.bounds.Bytes)
		}
		if timeout == nil && within > 0 {
			timer := time.NewTimer(within)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-m.arrived:
		case <-timeout:
			return nil, nil
		case <-m.refusals.Changed():
			if err := m.checkPermission(); err != nil {
				return nil, err
			}
		case <-m.closed:
			return nil, domain.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-m.conn.ended:
			if m.Len() == 0 {
				return nil, m.conn.EndCause()
			}
		}
	}
}

func (m *Mailbox) dequeue(n int) (batch []*nats.Msg, overflowed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) <= n {
		batch, m.queue = m.queue, nil
	} else {
		batch, m.queue = m.queue[:n:n], m.queue[n:]
	}
	for _, msg := range batch {
		m.size -= len(msg.Data)
	}
	return batch, m.overflowed
}

// checkPermission returns an error if the server has refused this subscription. It
// forgets all other refusals, so that they do not pile up.
func (m *Mailbox) checkPermission() error {
	err := m.refusals.OfSubscribe(m.sub.Subject)
	m.refusals.forget()
	return err
}

// Close unsubscribes and ends a Take that is under way.
func (m *Mailbox) Close() error {
	m.once.Do(func() {
		close(m.closed)
		m.refusals.Stop()
		_ = m.sub.Unsubscribe() // fails if the connection has ended, which is as good
	})
	return nil
}
