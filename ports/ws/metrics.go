package ws

import "github.com/fanfarebus/fanfare/internal/metric"

// Metrics describes what the server counts.
func (s *Server) Metrics() []metric.Metric {
	counter := func(name, help string, read func(Stats) uint64) metric.Metric {
		return metric.Of(metric.Counter, name, help,
			func() uint64 { return read(s.Stats()) })
	}
	return []metric.Metric{
		counter("received_messages_total", "WebSocket messages from clients.",
			func(s Stats) uint64 { return s.MessagesIn }),
		counter("received_bytes_total", "Bytes of the WebSocket messages from clients.",
			func(s Stats) uint64 { return s.BytesIn }),
		counter("received_frames_total",
			"WebSocket frames from clients: parts of messages, pings, pongs and closes.",
			func(s Stats) uint64 { return s.FramesIn }),
		counter("frame_breaches_total",
			"Sessions that were closed because of their frames: too many, or invalid ones.",
			func(s Stats) uint64 { return s.Breaches }),
		counter("sent_frames_total", "Messages and notices sent to WebSocket clients.",
			func(s Stats) uint64 { return s.FramesOut }),
		counter("sent_writes_total", "WebSocket writes that carried the frames sent.",
			func(s Stats) uint64 { return s.WritesOut }),
		counter("sent_bytes_total", "Bytes of the frames sent to WebSocket clients.",
			func(s Stats) uint64 { return s.BytesOut }),
		metric.Of(metric.Gauge, "slow_sessions",
			"WebSocket sessions whose client does not read as fast as it is sent to.",
			func() int64 { return s.Stats().Slow }),
		counter("op_errors_total",
			"Ops of WebSocket clients that were answered with an error, "+
				"and messages of plain clients that were dropped.",
			func(s Stats) uint64 { return s.Errors }),
		counter("rate_limited_total",
			"Ops of WebSocket clients that were answered with the code rate_limited, "+
				"and messages of plain clients that were dropped for the same reasons.",
			func(s Stats) uint64 { return s.RateLimited }),
	}
}
