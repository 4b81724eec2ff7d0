package otlp

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// New returns a provider that sends spans as the environment says, nil if it says nothing.
// The caller shuts it down, which sends what it has. Spans wait in a queue of bounded size
// (OTEL_BSP_MAX_QUEUE_SIZE); those for which there is no room are lost. What the collector
// does not take is logged.
func New(version, node string, log *slog.Logger) (*sdktrace.TracerProvider, error) {
	on, err := isOn()
	if err != nil || !on {
		return nil, err
	}
	s, err := readSettings()
	if err != nil {
		return nil, err
	}
	// What the SDK reads by itself, such as OTEL_TRACES_SAMPLER, it complains about here.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("tracing", "error", err) }))
	about, err := describe(version, node)
	if err != nil {
		log.Warn("tracing: OTEL_RESOURCE_ATTRIBUTES cannot be read", "error", err)
	}
	out := otlptrace.NewUnstarted(newClient(s, version))
	log.Info("tracing is on: spans go to a collector by OTLP over HTTP", "collector", s.host)
	return sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&exporter{SpanExporter: out, log: log}),
		sdktrace.WithResource(about),
	), nil
}

// describe says whose spans these are. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come
// first.
func describe(version, node string) (*resource.Resource, error) {
	about := []attribute.KeyValue{
		attribute.String("service.name", "fanfare"), attribute.String("service.version", version),
	}
	if node != "" { // otherwise it is made anew for each run, and spans name it themselves
		about = append(about, attribute.String("service.instance.id", node))
	}
	return resource.New(context.Background(),
		resource.WithTelemetrySDK(), resource.WithAttributes(about...), resource.WithFromEnv())
}

// An exporter logs what the collector did not take. Nobody else would know which spans these
// are.
type exporter struct {
	sdktrace.SpanExporter
	log  *slog.Logger
	lost atomic.Uint64
}

// ExportSpans sends spans, and returns no error.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.log.Warn("the collector did not take spans: they are lost", "spans", len(spans),
			"lost_since_start", e.lost.Add(uint64(len(spans))), "error", fmt.Sprint(err))
	}
	return nil
}
