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

// lanes is how many messages are published at the same time. Each topic has a
// fixed lane, which keeps its messages in order. The number also bounds how many
// goroutines can hang in a Publisher that does not return.
const lanes = 16

// envelopeKey is the metadata key that marks messages without framing (see
// [transport.RawKey]) on this bus. They have an id inside, and no UUID that
// matters. The absence of a UUID could not mark them, since a Subscriber may make
// one up.
const envelopeKey = "fanfare_envelope"

// Publish publishes one message after the other, until ctx ends. It copies the
// messages. The outcome of those that were not answered by then is unknown.
func (d *Driver) Publish(ctx context.Context, records []transport.Outgoing) []error {
	p := newPublication(records)
	if d.pub == nil {
		return p.outcome(domain.ErrUnsupported)
	}
	if err := d.enter(); err != nil {
		return p.outcome(err)
	}
	go func() {
		defer d.running.Done()
		defer close(p.done)
		p.run(ctx, d)
	}()
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	return p.outcome(ctx.Err())
}

// A publication is one call of Publish. Its goroutine may still run after the
// call has returned, so it uses copies of what it publishes.
type publication struct {
	topics   []string
	messages []*message.Message
	done     chan struct{} // closed when run has returned

	mu       sync.Mutex
	answered int     // how many messages the Publisher has answered; guarded by mu
	errs     []error // of the messages that were answered; guarded by mu
	failed   bool    // one of these errors is not nil; guarded by mu
}

func newPublication(records []transport.Outgoing) *publication {
	p := &publication{
		topics:   make([]string, len(records)),
		messages: make([]*message.Message, len(records)),
		errs:     make([]error, len(records)),
		done:     make(chan struct{}),
	}
	for i, record := range records {
		p.topics[i], p.messages[i] = record.Topic, pack(record.Message)
	}
	return p
}

// pack copies a message in the form in which it is published.
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

func (p *publication) run(ctx context.Context, d *Driver) {
	for i, m := range p.messages {
		m.SetContext(ctx)
		lane := d.lanes[domain.HashID(p.topics[i])%lanes]
		select {
		case lane <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := ctx.Err()
		if err == nil {
			err = recoverPanic(func() error { return d.pub.Publish(p.topics[i], m) })
		}
		<-lane
		p.answer(err)
	}
}

// recoverPanic turns a panic in the embedder's library into an error. The call
// runs in a goroutine of this package, where a panic would end the node.
func recoverPanic(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a panic in the Pub/Sub: %v", p)
		}
	}()
	return call()
}

// answer records the error of the next message, nil if it was published.
func (p *publication) answer(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("watermillbus: publish to %q: %w", p.topics[p.answered], err)
		p.failed = true
	}
	p.errs[p.answered] = err
	p.answered++
}

// outcome returns the errors that are known now. Messages that were not answered
// get an error that wraps why. It returns nil if all were published.
func (p *publication) outcome(why error) []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.failed && p.answered == len(p.errs) {
		return nil
	}
	errs := make([]error, len(p.errs))
	copy(errs, p.errs[:p.answered])
	for i := p.answered; i < len(errs); i++ {
		errs[i] = fmt.Errorf("watermillbus: publish to %q: %w", p.topics[i], why)
	}
	return errs
}
