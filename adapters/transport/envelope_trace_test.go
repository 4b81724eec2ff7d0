package transport_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	json "github.com/fanfarebus/fanfare/domain/envelope"
)

// A tracer names its span in all messages, and keeps how publishes end.
type tracer struct {
	span  string
	ended []error
}

func (t *tracer) Publish(_ context.Context, _ domain.System, _ string, msgs []*domain.Message) (traced []*domain.Message, end func(error)) {
	for _, m := range msgs {
		named := *m
		named.Traceparent = t.span
		traced = append(traced, &named)
	}
	return traced, func(err error) { t.ended = append(t.ended, err) }
}

func (*tracer) Deliver(domain.Delivery) {}

// A bus keeps what was published, or fails.
type fickle struct {
	got []*message.Message
	err error
}

func (b *fickle) PublishContext(_ context.Context, _ string, messages ...*message.Message) error {
	b.got = append(b.got, messages...)
	return b.err
}

func (b *fickle) PublishStored(ctx context.Context, topic string, messages ...*message.Message) (transport.Stored, error) {
	return transport.Stored{}, b.PublishContext(ctx, topic, messages...)
}

func TestPublishesAreTraced(t *testing.T) {
	topics, err := domain.ParseTopics("{system}")
	if err != nil {
		t.Fatal(err)
	}
	system, err := domain.ParseSystem("orders")
	if err != nil {
		t.Fatal(err)
	}
	bus, spans := &fickle{}, &tracer{span: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
	out := transport.NewEnvelopePublisher(bus, topics, 0)
	out.Trace(spans)
	m := &domain.Message{ID: "a", To: []domain.Target{domain.Everyone}, From: "alice", Data: []byte("1"), ContentType: domain.JSON}
	ways := map[string]func() error{
		"to users":  func() error { _, err := out.Publish(t.Context(), system, m); return err },
		"to itself": func() error { return out.Inbound(t.Context(), system, m, "s1") },
	}
	for name, publish := range ways {
		for _, failure := range []error{nil, domain.ErrBusDown} {
			*bus, spans.ended = fickle{err: failure}, nil
			if err := publish(); !errors.Is(err, failure) {
				t.Errorf("%s: got %v, want %v", name, err, failure)
			}
			if len(spans.ended) != 1 || !errors.Is(spans.ended[0], failure) || failure == nil && spans.ended[0] != nil {
				t.Errorf("%s: the span ended with %v, want %v", name, spans.ended, failure)
			}
			sent, err := json.Parse(bus.got[0].Payload, json.Options{NoTo: true})
			if err != nil || sent.Traceparent != spans.span || m.Traceparent != "" {
				t.Errorf("%s: %s, %v; the caller's message has traceparent %q", name, bus.got[0].Payload, err, m.Traceparent)
			}
		}
	}
	if _, err := out.Publish(t.Context(), system, &domain.Message{}); !errors.Is(err, domain.ErrInvalid) || len(spans.ended) != 1 {
		t.Errorf("what is not valid is traced: %v, %v", err, spans.ended)
	}
}
