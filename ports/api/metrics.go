package api

import "github.com/fanfarebus/fanfare/internal/metric"

// Metrics describes what the API counts.
func (a *API) Metrics() []metric.Metric {
	return []metric.Metric{
		metric.Of(metric.Counter, "http_published_total",
			"Messages published over HTTP that the bus took.",
			func() uint64 { return a.Stats().Accepted }),
		metric.Of(metric.Gauge, "http_body_bytes",
			"Bytes of memory that the bodies of publish requests in flight take.",
			func() int64 { return a.Stats().Bodies }),
		metric.PerLabel(metric.Counter, "http_publish_refused_total",
			"Publish requests over HTTP that were refused, by reason.", "reason",
			func() map[string]uint64 { return a.Stats().Refused }),
		metric.PerLabel(metric.Counter, "http_unauthorized_total",
			"Requests to the HTTP API that were refused because of their API key, by reason.", "reason",
			func() map[string]uint64 { return a.Stats().Unauthorized }),
		metric.PerLabel(metric.Counter, "http_control_requests_total",
			"Requests to the HTTP API other than to publish, by HTTP status.", "status",
			func() map[int]uint64 { return a.Stats().Controlled }),
	}
}
