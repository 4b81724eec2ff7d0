package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

// An EnvelopePublisher puts a node's messages on the bus, as envelopes. It is safe for
// concurrent use.
type EnvelopePublisher struct {
	bus    ContextPublisher
	topics domain.Topics
	most   int
	sent   *ledger // of what users have sent to systems; nil: it is not counted
}

// A ContextPublisher is the side of a Transport that an EnvelopePublisher uses.
type ContextPublisher interface {
	PublishContext(ctx context.Context, topic string, messages ...*message.Message) error
}

var _ domain.Publisher = (*EnvelopePublisher)(nil)

// NewEnvelopePublisher returns an EnvelopePublisher. Messages with more than maxData bytes of data
// are refused; 0 means any size.
func NewEnvelopePublisher(bus ContextPublisher, topics domain.Topics, maxData int) *EnvelopePublisher {
	return &EnvelopePublisher{bus: bus, topics: topics, most: maxData}
}

// LimitInbound bounds what users send to systems, if the bus can say what is
// consumed of it. Call it before anything is published.
func (p *EnvelopePublisher) LimitInbound(limits InboundLimits, log *slog.Logger) {
	if bus, ok := p.bus.(unconsumer); ok {
		p.sent = newLedger(bus, limits, log)
	}
}

// Publish sends the messages to the system's topic. A message without an id
// gets one, on the wire.
func (p *EnvelopePublisher) Publish(ctx context.Context, system domain.System, msgs ...*domain.Message) error {
	for i, m := range msgs {
		if err := p.check(m); err != nil {
			return &domain.PublishError{Err: domain.At(fmt.Sprintf("[%d]", i), err)}
		}
	}
	all := make([]*message.Message, len(msgs))
	for i, m := range msgs {
		all[i] = pack(m)
	}
	return p.send(ctx, p.topics.Topic(system), all...)
}

// Inbound sends m to the system's inbound topic, stamped with the session. If too
// much that was sent there before is not consumed yet, that is
// domain.ErrInboundFull, and m was not sent.
func (p *EnvelopePublisher) Inbound(ctx context.Context, system domain.System, m *domain.Message, session string) error {
	stamped := *m
	stamped.To, stamped.Session = nil, session
	checked := stamped
	checked.To = []domain.Target{domain.Everyone} // what Check wants to see
	if err := p.check(&checked); err != nil {
		return &domain.PublishError{Err: err}
	}
	topic, packed := p.topics.Inbound(system), pack(&stamped)
	if p.sent == nil {
		return p.send(ctx, topic, packed)
	}
	giveback, err := p.sent.take(ctx, topic, m.From, int64(len(packed.Payload))+entryOverhead)
	if err != nil {
		return &domain.PublishError{Err: err}
	}
	err = p.send(ctx, topic, packed)
	if errors.Is(err, domain.ErrBusRefused) || errors.Is(err, domain.ErrClosed) {
		giveback() // the bus does not have it
	}
	return err
}

// check is the last before the bus: what it lets pass, every node can read.
func (p *EnvelopePublisher) check(m *domain.Message) error {
	if p.most > 0 && len(m.Data) > p.most {
		return fmt.Errorf("data: %w: %d bytes, at most %d are allowed",
			domain.ErrTooLarge, len(m.Data), p.most)
	}
	return m.Check()
}

func (p *EnvelopePublisher) send(ctx context.Context, topic string, all ...*message.Message) error {
	err := p.bus.PublishContext(ctx, topic, all...)
	if err == nil {
		return nil
	}
	failed := &domain.PublishError{Err: err}
	var part *PublishError
	if errors.As(err, &part) {
		failed.Accepted = part.Accepted
	}
	return failed
}

// pack makes the envelope, and a Watermill message of the same id around it.
func pack(m *domain.Message) *message.Message {
	id := m.ID
	if id == "" {
		id = domain.NewID()
		named := *m
		named.ID = id
		m = &named
	}
	packed := message.NewMessage(id, envelope.Append(make([]byte, 0, m.Size()), m))
	packed.Metadata.Set(RawKey, "1")
	return packed
}
