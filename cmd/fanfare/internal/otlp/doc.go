// Package otlp sends spans to an OpenTelemetry collector, by OTLP over HTTP with protobuf. It
// is set by the environment variables that the specification of OpenTelemetry names, and does
// nothing unless one of them says where spans go.
//
// The exporter that comes with OpenTelemetry for Go compiles gRPC, which it does not use. That
// would be 6 MB of the command and 70 packages; this one is a POST. What it has in common
// with the other, the encoding of spans, is from OpenTelemetry.
package otlp
