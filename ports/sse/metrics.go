package sse

import "github.com/fanfarebus/fanfare/internal/metric"

// Metrics describes what the server counts. What it has written is [Server.Output],
// which session.OutputMetrics describes for all ports together.
func (s *Server) Metrics() []metric.Metric {
	counter := func(name, help string, read func(Stats) uint64) metric.Metric {
		return metric.Of(metric.Counter, name, help,
			func() uint64 { return read(s.Stats()) })
	}
	return []metric.Metric{
		metric.Of(metric.Gauge, "sse_sessions", "Open sessions over Server-Sent Events.",
			func() int { return s.Stats().Sessions }),
		counter("sse_stopped_total", "Requests for Server-Sent Events that were answered 204, "+
			"which tells the client not to come back.",
			func(s Stats) uint64 { return s.Stopped }),
		counter("sse_sent_away_total",
			"Requests for Server-Sent Events that could not be let in, "+
				"and were told when to come back.",
			func(s Stats) uint64 { return s.SentAway }),
	}
}
