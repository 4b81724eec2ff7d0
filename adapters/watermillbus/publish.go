package watermillbus

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// lanes is how many messages are published at a time. A topic always has the
// same lane, which keeps its order; and no more goroutines than this can hang
// in a Publisher that does not return.
const lanes = 16

// envelopeKey is a metadata key that marks envelopes (transport.RawKey), which
// have an id and numbers of their own. A Subscriber may make up a UUID where
// there is none, so its absence would tell nothing.
const envelopeKey = "fanfare_envelope"

// Publish publishes one message after the other, until ctx ends.
func (d *Driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	c := newCommit(records)
	if d.pub == nil {
		return c.outcome(domain.ErrUnsupported)
	}
	if err := d.enter(); err != nil {
		return c.outcome(err)
	}
	go func() {
		defer d.running.Done()
		defer close(c.done)
		c.run(ctx, d)
	}()
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	return c.outcome(ctx.Err())
}

// A commit is one call of Publish. It may go on behind the caller's back, so
// all that it uses is its own.
type commit struct {
	topics   []string
	messages []*message.Message
	done     chan struct{}

	mu       sync.Mutex
	answered int     // guarded by mu
	errs     []error // of the first answered; guarded by mu
	failed   bool    // guarded by mu
}

func newCommit(records []transport.Outgoing) *commit {
	c := &commit{
		topics:   make([]string, len(records)),
		messages: make([]*message.Message, len(records)),
		errs:     make([]error, len(records)),
		done:     make(chan struct{}),
	}
	for i, o := range records {
		c.topics[i], c.messages[i] = o.Topic, pack(o.Message)
	}
	return c
}

// pack copies what is to be sent.
func pack(m *message.Message) *message.Message {
	packed := message.NewMessage(m.UUID, bytes.Clone(m.Payload))
	for name, value := range m.Metadata {
		if name == transport.RawKey {
			name = envelopeKey
		}
		packed.Metadata[name] = value
	}
	return packed
}

func (c *commit) run(ctx context.Context, d *Driver) {
	for i, m := range c.messages {
		m.SetContext(ctx)
		lane := d.lanes[domain.HashID(c.topics[i])%lanes]
		select {
		case lane <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := ctx.Err()
		if err == nil {
			err = guard(func() error { return d.pub.Publish(c.topics[i], m) })
		}
		<-lane
		c.answer(err)
	}
}

// guard makes an error of a panic in the embedder's library: it runs in a
// goroutine of ours, and would end the node with all its sessions.
func guard(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a panic in the Pub/Sub: %v", p)
		}
	}()
	return call()
}

func (c *commit) answer(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("watermillbus: publish to %q: %w", c.topics[c.answered], err)
		c.failed = true
	}
	c.errs[c.answered] = err
	c.answered++
}

// outcome returns what is known now; of the rest it is not known, for why.
func (c *commit) outcome(why error) []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.failed && c.answered == len(c.errs) {
		return nil
	}
	errs := make([]error, len(c.errs))
	copy(errs, c.errs[:c.answered])
	for i := c.answered; i < len(errs); i++ {
		errs[i] = fmt.Errorf("watermillbus: publish to %q: %w", c.topics[i], why)
	}
	return errs
}
