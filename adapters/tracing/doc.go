// Package tracing makes the spans of Fanfare with [OpenTelemetry]. It needs the API of
// OpenTelemetry alone: the program decides by its TracerProvider which spans are recorded
// and where they go.
//
// # Spans
//
// There are two kinds. "publish <topic>" is of one publish, which may be of several
// messages. Its parent is the span in the publisher's context, else the one that the
// message names as its traceparent. The message carries the traceparent of this span
// through the bus, so that "deliver <topic>", one span for each node that has read the
// message, has it as its parent. There is no span for a session, however many there are.
//
// A node makes a span of a message only if the message has a traceparent that is sampled,
// and if the sampler of the TracerProvider agrees. Messages without one cost nothing.
//
// # Attributes
//
// Spans have those of the semantic conventions for messaging that apply, where
// messaging.system is "fanfare", whatever the bus is. They also have these:
//
//   - fanfare.system, the system
//   - fanfare.node, the name of the node, if it has one
//
// and those of deliveries
//
//   - fanfare.outcome: offered, duplicate or expired
//   - fanfare.sessions.offered, how many sessions were offered the message at once
//   - fanfare.sessions.behind, how many sessions are given it later from the window
//
// [OpenTelemetry]: https://opentelemetry.io
package tracing
