package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/fanfarebus/fanfare/domain"
)

// scope is the name under which the spans are found.
const scope = "github.com/fanfarebus/fanfare"

// Keys of attributes. Those of messaging are from the semantic conventions, version 1.37.
const (
	messagingSystem        = attribute.Key("messaging.system")
	messagingOperationName = attribute.Key("messaging.operation.name")
	messagingOperationType = attribute.Key("messaging.operation.type")
	messagingDestination   = attribute.Key("messaging.destination.name")
	messagingMessageID     = attribute.Key("messaging.message.id")
	messagingBodySize      = attribute.Key("messaging.message.body.size")
	messagingBatchCount    = attribute.Key("messaging.batch.message_count")
	errorType              = attribute.Key("error.type")

	fanfareSystem  = attribute.Key("fanfare.system")
	fanfareNode    = attribute.Key("fanfare.node")
	fanfareOutcome = attribute.Key("fanfare.outcome")
	fanfareOffered = attribute.Key("fanfare.sessions.offered")
	fanfareBehind  = attribute.Key("fanfare.sessions.behind")
)

// A Tracer is the [domain.Tracer] of a TracerProvider. It is safe for concurrent use.
type Tracer struct {
	spans trace.Tracer
	node  string
}

var _ domain.Tracer = (*Tracer)(nil)

// New returns a Tracer, which remains good as long as the provider is. Version is that of
// the software, and node the name of the node that it is part of; either may be empty.
func New(provider trace.TracerProvider, version, node string) *Tracer {
	return &Tracer{
		spans: provider.Tracer(scope, trace.WithInstrumentationVersion(version)), node: node,
	}
}

// common appends the attributes that all spans have.
func (t *Tracer) common(
	all []attribute.KeyValue, operation, kind, topic string, system domain.System,
) []attribute.KeyValue {
	all = append(all,
		messagingSystem.String("fanfare"),
		messagingOperationName.String(operation),
		messagingOperationType.String(kind),
		messagingDestination.String(topic),
		fanfareSystem.String(system.String()))
	if t.node != "" {
		all = append(all, fanfareNode.String(t.node))
	}
	return all
}

// Deliver records the span of a delivery, if its traceparent is sampled and the provider's
// sampler agrees.
func (t *Tracer) Deliver(d domain.Delivery) {
	parent := spanContext(d.Traceparent)
	if !parent.IsSampled() {
		return
	}
	attributes := append(
		t.common(make([]attribute.KeyValue, 0, 12), "deliver", "process", d.Topic, d.System),
		messagingMessageID.String(d.ID),
		messagingBodySize.Int(d.Size),
		fanfareOutcome.String(outcome(&d.Outcome)),
		fanfareOffered.Int(int(d.Offered)),
		fanfareBehind.Int(int(d.Behind)))
	ctx := trace.ContextWithRemoteSpanContext(context.Background(), parent)
	_, span := t.spans.Start(ctx, "deliver "+d.Topic, trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithTimestamp(d.Read), trace.WithAttributes(attributes...))
	span.End(trace.WithTimestamp(d.Done))
}

func outcome(o *domain.Outcome) string {
	switch {
	case o.Duplicate:
		return "duplicate"
	case o.Expired:
		return "expired"
	}
	return "offered"
}

// spanContext reads a traceparent that passes [domain.CheckTraceparent]. The empty one
// makes a SpanContext that is not valid.
func spanContext(traceparent string) trace.SpanContext {
	if len(traceparent) != domain.TraceparentLen {
		return trace.SpanContext{}
	}
	traceID, err := trace.TraceIDFromHex(traceparent[3:35])
	if err != nil {
		return trace.SpanContext{}
	}
	spanID, err := trace.SpanIDFromHex(traceparent[36:52])
	if err != nil {
		return trace.SpanContext{}
	}
	c := trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, Remote: true}
	if domain.IsSampled(traceparent) {
		c.TraceFlags = trace.FlagsSampled
	}
	return trace.NewSpanContext(c)
}

// traceparentOf is the reverse of spanContext.
func traceparentOf(c trace.SpanContext) string {
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
}
