package tracing

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/fanfarebus/fanfare/domain"
)

// Publish begins the span of a publish. Its parent is the span in ctx, else the first one
// that a message names. Messages that name another trace keep it, and the span links to
// what they name.
//
// If the span is not recorded, but the one in ctx is, messages without a traceparent are
// given that one's.
func (t *Tracer) Publish(
	ctx context.Context, system domain.System, topic string, msgs []*domain.Message,
) (traced []*domain.Message, end func(error)) {
	around := trace.SpanContextFromContext(ctx)
	parent := around
	for i := 0; i < len(msgs) && !parent.IsValid(); i++ {
		parent = spanContext(msgs[i].Traceparent)
	}
	if parent.IsValid() && !around.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	_, span := t.spans.Start(ctx, "publish "+topic, trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(t.publishAttributes(system, topic, msgs)...),
		trace.WithLinks(links(parent, msgs)...))
	switch {
	case span.IsRecording():
		traced = name(msgs, span.SpanContext(), func(m *domain.Message) bool { return !isForeign(m, parent) })
	case around.IsSampled():
		traced = name(msgs, around, func(m *domain.Message) bool { return m.Traceparent == "" })
	default:
		traced = msgs
	}
	return traced, func(err error) { finish(span, err) }
}

// name returns the messages. Copies that have the span's traceparent stand for those that
// are to be of it.
func name(
	msgs []*domain.Message, span trace.SpanContext, isOf func(*domain.Message) bool,
) []*domain.Message {
	var (
		named  = make([]*domain.Message, len(msgs))
		copies = make([]domain.Message, len(msgs))
		text   = traceparentOf(span)
	)
	for i, m := range msgs {
		if named[i] = m; isOf(m) {
			named[i], copies[i] = &copies[i], *m
			copies[i].Traceparent = text
		}
	}
	return named
}

// isForeign reports whether a message is of another trace than the parent.
func isForeign(m *domain.Message, parent trace.SpanContext) bool {
	return m.Traceparent != "" && spanContext(m.Traceparent).TraceID() != parent.TraceID()
}

// maxLinks bounds the links of one span.
const maxLinks = 32

// links returns links to what messages of other traces name.
func links(parent trace.SpanContext, msgs []*domain.Message) (all []trace.Link) {
	for _, m := range msgs {
		if isForeign(m, parent) && len(all) < maxLinks {
			all = append(all, trace.Link{SpanContext: spanContext(m.Traceparent)})
		}
	}
	return all
}

func (t *Tracer) publishAttributes(
	system domain.System, topic string, msgs []*domain.Message,
) []attribute.KeyValue {
	all := t.common(make([]attribute.KeyValue, 0, 8), "publish", "send", topic, system)
	if len(msgs) != 1 {
		return append(all, messagingBatchCount.Int(len(msgs)))
	}
	return append(all,
		messagingMessageID.String(msgs[0].ID), messagingBodySize.Int(len(msgs[0].Data)))
}

// finish ends the span of a publish. It has a word for an error and not its text, which
// may name what readers of traces need not know, such as the broker's address.
func finish(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		kind := kindOf(err)
		span.SetStatus(codes.Error, kind)
		span.SetAttributes(errorType.String(kind))
	}
	span.End()
}

// kindOf returns a word, out of few, for why a publish failed.
func kindOf(err error) string {
	for _, kind := range []struct {
		is   error
		word string
	}{
		{domain.ErrInvalid, "invalid"},
		{domain.ErrTooLarge, "too_large"},
		{domain.ErrLimit, "busy"},
		{domain.ErrClosed, "closed"},
		{domain.ErrBusFull, "bus_full"},
		{domain.ErrBusRefused, "bus_refused"},
		{domain.ErrBusDown, "bus_down"},
		{context.Canceled, "canceled"},
	} {
		if errors.Is(err, kind.is) {
			return kind.word
		}
	}
	return "_OTHER" // as the semantic conventions call it
}
