package natsconn

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/domain"
)

// A Mailbox keeps what a subscription brings until it is taken. One goroutine
// takes; Close may be called from another, more than once.
type Mailbox struct {
	conn     *Conn
	sub      *nats.Subscription
	refusals *Refusals // of a right that is taken away
	bounds   Bounds
	arrived  chan struct{} // something is to be seen to
	closed   chan struct{} // closed by Close
	once     sync.Once

	mu         sync.Mutex
	queue      []*nats.Msg // guarded by mu
	size       int         // bytes in queue; guarded by mu
	overflowed bool        // something was dropped; guarded by mu
}

// Bounds are how much a Mailbox keeps. When there is more, what comes is
// dropped, and the Mailbox is over when what it had has been taken.
type Bounds struct{ Messages, Bytes int }

// Mailbox subscribes, in a queue group if its name is not empty, and returns
// when the server has confirmed.
func (c *Conn) Mailbox(ctx context.Context, subject, group string, most Bounds) (*Mailbox, error) {
	m := &Mailbox{conn: c, refusals: c.WatchRefusals(), bounds: most, arrived: make(chan struct{}, 1), closed: make(chan struct{})}
	var err error
	if m.sub, err = c.QueueSubscribe(subject, group, m.put); err != nil {
		m.refusals.Stop()
		return nil, err
	}
	// What nats.go keeps on its way here is bounded by the same.
	if err = m.sub.SetPendingLimits(most.Messages, most.Bytes); err == nil {
		err = c.Sync(ctx)
	}
	if err == nil {
		err = m.refusals.Settle(ctx)
	}
	if err == nil {
		err = m.refusals.TooManySubscriptions() // perhaps another's: rather ask again than hear nothing
	}
	if err == nil {
		err = m.checkPermission()
	}
	if err != nil {
		_ = m.Close()
		return nil, err
	}
	return m, nil
}

// put runs in nats.go's goroutine for this subscription. Nothing that follows
// something that was dropped, here or by nats.go, is kept.
func (m *Mailbox) put(msg *nats.Msg) {
	dropped, _ := msg.Sub.Dropped()
	size := len(msg.Data)
	m.mu.Lock()
	switch {
	case m.overflowed || dropped > 0:
		m.overflowed = true
	case len(m.queue) >= m.bounds.Messages || m.size+size > m.bounds.Bytes && len(m.queue) > 0:
		m.overflowed = true
	default:
		m.queue, m.size = append(m.queue, msg), m.size+size
	}
	m.mu.Unlock()
	m.signal()
}

func (m *Mailbox) signal() {
	select {
	case m.arrived <- struct{}{}:
	default:
	}
}

// Len is how much waits to be taken.
func (m *Mailbox) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.queue)
}

// Take waits for messages and returns at most n of them; none and no error when
// nothing came within the time, for which 0 means that there is no end. What
// came before the end is returned before its error.
func (m *Mailbox) Take(ctx context.Context, n int, within time.Duration) ([]*nats.Msg, error) {
	var over <-chan time.Time
	for {
		batch, full := m.dequeue(n)
		switch {
		case len(batch) > 0:
			return batch, nil
		case full:
			return nil, fmt.Errorf("%w: more than %d messages or %d bytes were waiting",
				nats.ErrSlowConsumer, m.bounds.Messages, m.bounds.Bytes)
		}
		if over == nil && within > 0 {
			timer := time.NewTimer(within)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-m.arrived:
		case <-over:
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

func (m *Mailbox) dequeue(n int) (batch []*nats.Msg, full bool) {
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

// checkPermission says whether the server does not let us have what we subscribed to,
// and forgets what it checkPermission else.
func (m *Mailbox) checkPermission() error {
	err := m.refusals.OfSubscribe(m.sub.Subject)
	m.refusals.forget()
	return err
}

// Close unsubscribes and ends a Take.
func (m *Mailbox) Close() error {
	m.once.Do(func() {
		close(m.closed)
		m.refusals.Stop()
		_ = m.sub.Unsubscribe() // it is over already if the connection is
	})
	return nil
}
