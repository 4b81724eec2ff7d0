package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
)

// An EnvelopePublisher is the [domain.Publisher] of a node: it puts messages on the
// bus as envelopes. It is safe for concurrent use.
type EnvelopePublisher struct {
	bus     ContextPublisher
	topics  domain.Topics
	maxData int     // the most bytes of a message's data; 0: any number
	inbound *ledger // counts what users send to systems; nil: nothing is counted
	tracer  domain.Tracer
}

// A ContextPublisher is the part of a [Transport] that an EnvelopePublisher uses.
type ContextPublisher interface {
	PublishContext(ctx context.Context, topic string, messages ...*message.Message) error
	PublishStored(ctx context.Context, topic string, messages ...*message.Message) (last Stored, err error)
}

var _ domain.Publisher = (*EnvelopePublisher)(nil)

// NewEnvelopePublisher returns an EnvelopePublisher. Messages with more than
// maxData bytes of data are refused; 0 means any size.
func NewEnvelopePublisher(
	bus ContextPublisher, topics domain.Topics, maxData int,
) *EnvelopePublisher {
	return &EnvelopePublisher{bus: bus, topics: topics, maxData: maxData}
}

// LimitInbound limits what users send to systems, if the bus can say what is
// consumed of it. Call it before anything is published.
func (p *EnvelopePublisher) LimitInbound(limits InboundLimits, log *slog.Logger) {
	if bus, ok := p.bus.(unconsumer); ok {
		p.inbound = newLedger(bus, limits, log)
	}
}

// Trace lets t make a span of each publish. Call it before anything is published.
func (p *EnvelopePublisher) Trace(t domain.Tracer) { p.tracer = t }

// Publish sends the messages to the system's topic. A message without an id gets
// one, in its envelope. It returns the cursor of the last message, if the bus says where
// it has that. The error is a [*domain.PublishError].
func (p *EnvelopePublisher) Publish(
	ctx context.Context, system domain.System, msgs ...*domain.Message,
) (domain.Cursor, error) {
	for i, m := range msgs {
		if err := p.check(m); err != nil {
			return domain.Cursor{}, &domain.PublishError{Refused: true, Err: domain.At(fmt.Sprintf("[%d]", i), err)}
		}
	}
	topic := p.topics.Topic(system)
	if p.tracer == nil {
		return p.sendStored(ctx, topic, msgs)
	}
	msgs, end := p.tracer.Publish(ctx, system, topic, msgs)
	at, err := p.sendStored(ctx, topic, msgs)
	end(err)
	return at, err
}

// sendStored publishes envelopes of the messages, and returns the cursor of the last one.
func (p *EnvelopePublisher) sendStored(
	ctx context.Context, topic string, msgs []*domain.Message,
) (domain.Cursor, error) {
	packed := pack(msgs...)
	last, err := p.bus.PublishStored(ctx, topic, packed...)
	if err != nil || len(packed) == 0 {
		return domain.Cursor{}, publishError(err)
	}
	return cursorOf(last, packed[len(packed)-1].UUID), nil
}

// cursorOf returns the cursor of a message, as the nodes have it; the zero Cursor if it is
// not known where the log has the message.
func cursorOf(m Stored, id string) domain.Cursor {
	n := len(m.At.Position)
	if m.At.Log == 0 || n == 0 || n > domain.MaxPosition {
		return domain.Cursor{}
	}
	if m.Time.IsZero() {
		m.Time = time.Now()
	}
	return domain.Cursor{
		Log: m.At.Log, Position: m.At.Position, Time: m.Time, ID: domain.HashID(id),
	}
}

// Inbound sends m to the system's inbound topic, with the session's id in it. If too
// much that was sent there before is not consumed yet, it is not sent, and the
// error wraps [domain.ErrInboundFull]. The error is a [*domain.PublishError].
func (p *EnvelopePublisher) Inbound(
	ctx context.Context, system domain.System, m *domain.Message, session string,
) error {
	said := *m
	said.To, said.Session = nil, session
	checked := said
	checked.To = []domain.Target{domain.Everyone} // Check demands a target
	if err := p.check(&checked); err != nil {
		return &domain.PublishError{Refused: true, Err: err}
	}
	topic := p.topics.Inbound(system)
	if p.tracer == nil {
		return p.sendInbound(ctx, topic, &said)
	}
	traced, end := p.tracer.Publish(ctx, system, topic, []*domain.Message{&said})
	err := p.sendInbound(ctx, topic, traced[0])
	end(err)
	return err
}

// sendInbound sends a message that users send to a system, if there is room for it.
func (p *EnvelopePublisher) sendInbound(ctx context.Context, topic string, m *domain.Message) error {
	packed := pack(m)
	if p.inbound == nil {
		return p.send(ctx, topic, packed...)
	}
	giveBack, err := p.inbound.reserve(ctx, topic, m.From, int64(len(packed[0].Payload))+entryOverhead)
	if err != nil {
		return &domain.PublishError{Refused: true, Err: err}
	}
	err = p.send(ctx, topic, packed...)
	if errors.Is(err, domain.ErrBusRefused) || errors.Is(err, domain.ErrClosed) {
		giveBack() // the bus does not have it
	}
	return err
}

// check is the last check before the bus: every node can read what it lets pass.
func (p *EnvelopePublisher) check(m *domain.Message) error {
	if p.maxData > 0 && len(m.Data) > p.maxData {
		return fmt.Errorf("data: %w: %d bytes, at most %d are allowed",
			domain.ErrTooLarge, len(m.Data), p.maxData)
	}
	return m.Check()
}

// send publishes what needs no cursor.
func (p *EnvelopePublisher) send(ctx context.Context, topic string, all ...*message.Message) error {
	return publishError(p.bus.PublishContext(ctx, topic, all...))
}

// publishError makes of any error a [*domain.PublishError].
func publishError(err error) error {
	if err == nil || errors.As(err, new(*domain.PublishError)) {
		return err
	}
	return &domain.PublishError{Err: err}
}

// rawOnly is the metadata of every envelope. Nobody changes it.
var rawOnly = message.Metadata{RawKey: "1"}

// pack makes the envelopes of messages, and Watermill messages of the same ids around
// them. The messages share three allocations. Nobody acks what is published, so they
// need no channels for that.
func pack(msgs ...*domain.Message) []*message.Message {
	size := 0
	for _, m := range msgs {
		size += envelopeSize(m)
	}
	var (
		all    = make([]*message.Message, len(msgs))
		values = make([]message.Message, len(msgs))
		text   = make([]byte, 0, size)
	)
	for i, m := range msgs {
		if m.ID == "" {
			named := *m
			named.ID = domain.NewID()
			m = &named
		}
		start := len(text)
		text = envelope.Append(text, m)
		all[i] = &values[i]
		all[i].UUID, all[i].Metadata = m.ID, rawOnly
		all[i].Payload = text[start:len(text):len(text)]
	}
	return all
}

// envelopeSize estimates the bytes of an envelope. It is enough for most messages
// without headers.
func envelopeSize(m *domain.Message) int {
	const (
		fields = 128 // names, the id, the time and punctuation
		target = 3   // quotes and a comma
	)
	n := fields + len(m.Type) + len(m.From) + len(m.Session) + len(m.Data)
	if m.ContentType != domain.JSON {
		n += len(m.ContentType) + len(m.Data)/3
	}
	for _, t := range m.To {
		n += target + len(t.String())
	}
	return n
}
