package tracing_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/fanfarebus/fanfare/adapters/tracing"
	"github.com/fanfarebus/fanfare/domain"
)

const (
	traceA  = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceB  = "5bf92f3577b34da6a3ce929d0e0e4736"
	sampled = "00-" + traceA + "-00f067aa0ba902b7-01"
	other   = "00-" + traceB + "-00f067aa0ba902b7-01"
	dropped = "00-" + traceA + "-00f067aa0ba902b7-00"
)

// record returns a Tracer, and the provider and recorder of its spans.
func record(sampler sdktrace.Sampler) (*tracing.Tracer, trace.TracerProvider, *tracetest.SpanRecorder) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sampler))
	return tracing.New(provider, "v1", "n1"), provider, spans
}

func always() sdktrace.Sampler { return sdktrace.ParentBased(sdktrace.AlwaysSample()) }

func orders(t *testing.T) domain.System {
	s, err := domain.ParseSystem("orders")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func attributes(s sdktrace.ReadOnlySpan) map[string]any {
	all := map[string]any{}
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.AsInterface()
	}
	return all
}

func traceparent(c trace.SpanContext) string {
	return fmt.Sprintf("00-%s-%s-%s", c.TraceID(), c.SpanID(), c.TraceFlags())
}

func TestPublishNamesItsSpanInTheMessages(t *testing.T) {
	tracer, provider, spans := record(always())
	ctx, around := provider.Tracer("app").Start(t.Context(), "checkout")
	around.End()
	for name, tt := range map[string]struct {
		ctx    context.Context
		given  []string // traceparents of the messages
		parent string   // of the publish; "" if it is a root
		own    []int    // messages that keep theirs
	}{
		"nothing is known":                    {t.Context(), []string{""}, "", nil},
		"the message is of a trace":           {t.Context(), []string{sampled}, sampled, nil},
		"the context has a span":              {ctx, []string{""}, traceparent(around.SpanContext()), nil},
		"a batch":                             {t.Context(), []string{"", sampled, ""}, sampled, nil},
		"a batch of two traces":               {t.Context(), []string{sampled, other, sampled}, sampled, []int{1}},
		"the message is of another trace":     {ctx, []string{sampled, ""}, traceparent(around.SpanContext()), []int{0}},
		"a later message is of another trace": {ctx, []string{"", other}, traceparent(around.SpanContext()), []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			var msgs []*domain.Message
			for i, traceparent := range tt.given {
				msgs = append(msgs, &domain.Message{ID: fmt.Sprint(i), Traceparent: traceparent, Data: []byte("123")})
			}
			before := len(spans.Ended())
			traced, end := tracer.Publish(tt.ctx, orders(t), "fanfare.orders", msgs)
			if len(spans.Ended()) != before {
				t.Fatal("the span ends before the publish")
			}
			end(nil)
			span := spans.Ended()[before]
			if got := span.Parent(); tt.parent == "" && got.IsValid() || tt.parent != "" && traceparent(got) != tt.parent {
				t.Errorf("the parent is %s, want %q", traceparent(got), tt.parent)
			}
			for i, m := range traced {
				want := traceparent(span.SpanContext())
				if slices.Contains(tt.own, i) {
					want = tt.given[i]
				}
				if m.ID != msgs[i].ID || m.Traceparent != want {
					t.Errorf("message %d: %s has traceparent %s, want %s", i, m.ID, m.Traceparent, want)
				}
				if msgs[i].Traceparent != tt.given[i] {
					t.Errorf("message %d, which is the caller's, was changed", i)
				}
			}
			if len(span.Links()) != len(tt.own) {
				t.Errorf("links: %v", span.Links())
			}
			want := map[string]any{"messaging.system": "fanfare", "messaging.operation.name": "publish",
				"messaging.operation.type": "send", "messaging.destination.name": "fanfare.orders",
				"fanfare.system": "orders", "fanfare.node": "n1"}
			if len(msgs) == 1 {
				maps.Copy(want, map[string]any{"messaging.message.id": "0", "messaging.message.body.size": int64(3)})
			} else {
				want["messaging.batch.message_count"] = int64(len(msgs))
			}
			if diff := cmp.Diff(want, attributes(span)); diff != "" {
				t.Error(diff)
			}
			if span.Name() != "publish fanfare.orders" || span.SpanKind() != trace.SpanKindProducer {
				t.Errorf("%s, %s", span.Name(), span.SpanKind())
			}
		})
	}
}

func TestPublishThatIsNotRecorded(t *testing.T) {
	never, provider, spans := record(sdktrace.NeverSample())
	recorder := sdktrace.NewTracerProvider()
	ctx, span := recorder.Tracer("app").Start(t.Context(), "checkout")
	defer span.End()
	parentBased, _, _ := record(always())
	for name, tt := range map[string]struct {
		tracer      *tracing.Tracer
		ctx         context.Context
		given, want string
	}{
		"no sampling":                      {never, t.Context(), "", ""},
		"the parent is not sampled":        {parentBased, t.Context(), dropped, dropped},
		"the message keeps its own":        {never, t.Context(), sampled, sampled},
		"the caller's span stands for it":  {never, ctx, "", traceparent(span.SpanContext())},
		"the message's is closer than ctx": {never, ctx, other, other},
	} {
		m := &domain.Message{Traceparent: tt.given}
		traced, end := tt.tracer.Publish(tt.ctx, orders(t), "fanfare.orders", []*domain.Message{m})
		end(domain.ErrBusDown)
		if len(traced) != 1 || traced[0].Traceparent != tt.want || m.Traceparent != tt.given {
			t.Errorf("%s: got %+v, want %q", name, traced[0], tt.want)
		}
	}
	if n := len(spans.Ended()); n != 0 {
		t.Errorf("%d spans", n)
	}
	_ = provider
}

func TestPublishThatFails(t *testing.T) {
	tracer, _, spans := record(always())
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&domain.PublishError{Err: fmt.Errorf("redis.internal:6379: %w", domain.ErrBusDown)}, "bus_down"},
		{domain.ErrBusFull, "bus_full"}, {domain.ErrLimit, "busy"}, {context.Canceled, "canceled"},
		{fmt.Errorf("something else"), "_OTHER"},
	} {
		_, end := tracer.Publish(t.Context(), orders(t), "fanfare.orders", []*domain.Message{{ID: "1"}})
		end(tt.err)
		all := spans.Ended()
		span := all[len(all)-1]
		if got := attributes(span)["error.type"]; got != tt.want || span.Status().Description != tt.want {
			t.Errorf("%v: error.type is %v, status %+v, want %s", tt.err, got, span.Status(), tt.want)
		}
	}
}

func TestDeliver(t *testing.T) {
	read := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tt := range map[string]struct {
		outcome domain.Outcome
		want    string
	}{
		"offered":   {domain.Outcome{Offered: 3, Behind: 2}, "offered"},
		"nobody":    {domain.Outcome{}, "offered"},
		"duplicate": {domain.Outcome{Duplicate: true}, "duplicate"},
		"expired":   {domain.Outcome{Expired: true}, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			tracer, _, spans := record(always())
			d := domain.Delivery{System: orders(t), Topic: "fanfare.orders", ID: "i", Traceparent: sampled, Size: 7,
				Read: read, Done: read.Add(time.Millisecond), Outcome: tt.outcome}
			tracer.Deliver(d)
			d.Traceparent = dropped
			tracer.Deliver(d)
			d.Traceparent = ""
			tracer.Deliver(d)
			if len(spans.Ended()) != 1 {
				t.Fatalf("%d spans, want the one that is sampled", len(spans.Ended()))
			}
			span := spans.Ended()[0]
			if !span.Parent().IsRemote() || traceparent(span.Parent()) != sampled {
				t.Errorf("the parent is %+v", span.Parent())
			}
			want := map[string]any{"messaging.system": "fanfare", "messaging.operation.name": "deliver",
				"messaging.operation.type": "process", "messaging.destination.name": "fanfare.orders",
				"messaging.message.id": "i", "messaging.message.body.size": int64(7),
				"fanfare.system": "orders", "fanfare.node": "n1", "fanfare.outcome": tt.want,
				"fanfare.sessions.offered": int64(tt.outcome.Offered), "fanfare.sessions.behind": int64(tt.outcome.Behind)}
			if diff := cmp.Diff(want, attributes(span)); diff != "" {
				t.Error(diff)
			}
			if span.Name() != "deliver fanfare.orders" || span.SpanKind() != trace.SpanKindConsumer ||
				!span.StartTime().Equal(read) || span.EndTime().Sub(read) != time.Millisecond {
				t.Errorf("%s, %s, %s to %s", span.Name(), span.SpanKind(), span.StartTime(), span.EndTime())
			}
		})
	}
	tracer, _, spans := record(sdktrace.NeverSample())
	tracer.Deliver(domain.Delivery{System: orders(t), Traceparent: sampled})
	if len(spans.Ended()) != 0 {
		t.Error("a span was made against the sampler")
	}
}

// A name is given only to who has one.
func TestSpansOfWhatIsNoNode(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracer := tracing.New(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), "", "")
	_, end := tracer.Publish(t.Context(), orders(t), "fanfare.orders", nil)
	end(nil)
	for _, a := range spans.Ended()[0].Attributes() {
		if a.Key == attribute.Key("fanfare.node") {
			t.Errorf("%v", a)
		}
	}
}
