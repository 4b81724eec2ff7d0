package ws

import "github.com/fanfarebus/fanfare/internal/metric"

// Metrics describes what the server counts. What it has written is [Server.Output],
// which session.OutputMetrics describes for all ports together.
func (s *Server) Metrics() []metric.Metric {
	counter := func(name, help string, read func(Stats) uint64) metric.Metric {
		return metric.Of(metric.Counter, name, help,
			func() uint64 { return read(s.Stats()) })
	}
	return []metric.Metric{
		counter("ws_received_messages_total", "WebSocket messages from clients.",
			func(s Stats) uint64 { return s.MessagesIn }),
		counter("ws_received_bytes_total", "Bytes of the WebSocket messages from clients.",
			func(s Stats) uint64 { return s.BytesIn }),
		counter("ws_received_frames_total",
			"WebSocket frames from clients: parts of messages, pings, pongs and closes.",
			func(s Stats) uint64 { return s.FramesIn }),
		counter("ws_frame_breaches_total",
			"WebSocket sessions that were closed because of their frames: too many, or invalid ones.",
			func(s Stats) uint64 { return s.Breaches }),
		metric.Of(metric.Gauge, "ws_slow_sessions",
			"WebSocket sessions whose client does not read as fast as it is sent to.",
			func() int64 { return s.Stats().Slow }),
		metric.PerLabel(metric.Counter, "ws_op_errors_total",
			"Ops of WebSocket clients that were answered with an error, and messages of "+
				"plain clients that were dropped, by the code of the error.", "code",
			func() map[Code]uint64 { return s.Stats().Errors }),
	}
}
