package sse

import "github.com/fanfarebus/fanfare/internal/metric"

// Metrics describes what the server counts.
func (s *Server) Metrics() []metric.Metric {
	counter := func(name, help string, read func(Stats) uint64) metric.Metric {
		return metric.Of(metric.Counter, name, help,
			func() uint64 { return read(s.Stats()) })
	}
	return []metric.Metric{
		metric.Of(metric.Gauge, "sse_sessions", "Open sessions over Server-Sent Events.",
			func() int { return s.Stats().Sessions }),
		counter("sse_sent_events_total", "Events sent over Server-Sent Events.",
			func(s Stats) uint64 { return s.FramesOut }),
		counter("sse_sent_writes_total", "Writes that carried the events sent, and heartbeats.",
			func(s Stats) uint64 { return s.WritesOut }),
		counter("sse_sent_bytes_total", "Bytes of the events sent, and of heartbeats.",
			func(s Stats) uint64 { return s.BytesOut }),
		counter("sse_stopped_total", "Clients that were told with 204 not to come back.",
			func(s Stats) uint64 { return s.Stopped }),
		counter("sse_sent_away_total",
			"Clients that could not be let in, and were told when to come back.",
			func(s Stats) uint64 { return s.SentAway }),
	}
}
