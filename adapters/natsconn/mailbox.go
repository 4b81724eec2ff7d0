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
	conn *Conn
	sub  *nats.Subscription
	told *Watch // of a right that is taken away
	most Bounds
	came chan struct{} // something is to be seen to
	done chan struct{} // closed by Close
	once sync.Once

	mu    sync.Mutex
	queue []*nats.Msg // guarded by mu
	size  int         // bytes in queue; guarded by mu
	full  bool        // something was dropped; guarded by mu
}

// Bounds are how much a Mailbox keeps. When there is more, what comes is
// dropped, and the Mailbox is over when what it had has been taken.
type Bounds struct{ Messages, Bytes int }

// Mailbox subscribes, in a queue group if its name is not empty, and returns
// when the server has confirmed.
func (c *Conn) Mailbox(ctx context.Context, subject, group string, most Bounds) (*Mailbox, error) {
	m := &Mailbox{conn: c, told: c.Watch(), most: most, came: make(chan struct{}, 1), done: make(chan struct{})}
	var err error
	if m.sub, err = c.QueueSubscribe(subject, group, m.put); err != nil {
		m.told.Stop()
		return nil, err
	}
	// What nats.go keeps on its way here is bounded by the same.
	if err = m.sub.SetPendingLimits(most.Messages, most.Bytes); err == nil {
		err = c.Sync(ctx)
	}
	if err == nil {
		err = m.told.Settle(ctx)
	}
	if err == nil {
		err = m.told.Crowded() // perhaps another's: rather ask again than hear nothing
	}
	if err == nil {
		err = m.refused()
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
	case m.full || dropped > 0:
		m.full = true
	case len(m.queue) >= m.most.Messages || m.size+size > m.most.Bytes && len(m.queue) > 0:
		m.full = true
	default:
		m.queue, m.size = append(m.queue, msg), m.size+size
	}
	m.mu.Unlock()
	m.signal()
}

func (m *Mailbox) signal() {
	select {
	case m.came <- struct{}{}:
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
		batch, full := m.take(n)
		switch {
		case len(batch) > 0:
			return batch, nil
		case full:
			return nil, fmt.Errorf("%w: more than %d messages or %d bytes were waiting",
				nats.ErrSlowConsumer, m.most.Messages, m.most.Bytes)
		}
		if over == nil && within > 0 {
			timer := time.NewTimer(within)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-m.came:
		case <-over:
			return nil, nil
		case <-m.told.Told():
			if err := m.refused(); err != nil {
				return nil, err
			}
		case <-m.done:
			return nil, domain.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-m.conn.ended:
			if m.Len() == 0 {
				return nil, m.conn.Why()
			}
		}
	}
}

func (m *Mailbox) take(n int) (batch []*nats.Msg, full bool) {
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
	return batch, m.full
}

// refused says whether the server does not let us have what we subscribed to,
// and forgets what it refused else.
func (m *Mailbox) refused() error {
	err := m.told.Subscribe(m.sub.Subject)
	m.told.forget()
	return err
}

// Close unsubscribes and ends a Take.
func (m *Mailbox) Close() error {
	m.once.Do(func() {
		close(m.done)
		m.told.Stop()
		_ = m.sub.Unsubscribe() // it is over already if the connection is
	})
	return nil
}
