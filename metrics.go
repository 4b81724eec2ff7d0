package fanfare

import (
	"github.com/fanfarebus/fanfare/internal/metric"
	"github.com/fanfarebus/fanfare/ports/api"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/sse"
	"github.com/fanfarebus/fanfare/ports/ws"
)

func sessionMetrics(r *session.Registry) []metric.Metric {
	return []metric.Metric{
		metric.Of(metric.Gauge, "sessions",
			"Open sessions.",
			func() int { return r.Stats().Sessions }),
		metric.Of(metric.Gauge, "users",
			"Users with an open session.",
			func() int { return r.Stats().Users }),
		metric.Of(metric.Counter, "sessions_opened_total",
			"Sessions that were opened.",
			func() uint64 { return r.Stats().Opened }),
		metric.PerLabel(metric.Counter, "sessions_closed_total",
			"Sessions closed, by close code.", "code",
			func() map[int]uint64 { return r.Stats().Closed }),
		metric.PerLabel(metric.Counter, "connects_refused_total",
			"Connections refused, by status.", "status",
			func() map[int]uint64 { return r.Stats().Refused }),
		metric.PerLabel(metric.Counter, "refusals_total",
			"Connections, and new tokens of sessions, refused, by reason.", "reason",
			func() map[string]uint64 { return r.Stats().Reasons }),
		metric.PerLabel(metric.Counter, "unnamed_clients_total",
			"Connections whose proxy did not say whose they are, by why not.", "reason",
			func() map[string]uint64 { return r.Stats().Unnamed }),
	}
}

func socketMetrics(s *ws.Server) []metric.Metric {
	return []metric.Metric{
		metric.Of(metric.Counter, "received_messages_total",
			"WebSocket messages from clients.",
			func() uint64 { return s.Stats().MessagesIn }),
		metric.Of(metric.Counter, "received_bytes_total",
			"Bytes of these.",
			func() uint64 { return s.Stats().BytesIn }),
		metric.Of(metric.Counter, "received_frames_total",
			"WebSocket frames from clients: parts of messages, pings, pongs and closes.",
			func() uint64 { return s.Stats().FramesIn }),
		metric.Of(metric.Counter, "frame_breaches_total",
			"Sessions that ended for their frames: too many of them, or none that the protocol allows.",
			func() uint64 { return s.Stats().Breaches }),
		metric.Of(metric.Counter, "sent_frames_total",
			"Frames given to outboxes.",
			func() uint64 { return s.Stats().FramesOut }),
		metric.Of(metric.Counter, "sent_writes_total",
			"WebSocket writes that carried them.",
			func() uint64 { return s.Stats().WritesOut }),
		metric.Of(metric.Counter, "sent_bytes_total",
			"Bytes of these.",
			func() uint64 { return s.Stats().BytesOut }),
		metric.Of(metric.Counter, "op_errors_total",
			"Ops answered with an error.",
			func() uint64 { return s.Stats().Errors }),
		metric.Of(metric.Counter, "rate_limited_total",
			"Of these, for their rate.",
			func() uint64 { return s.Stats().RateLimited }),
	}
}

func eventMetrics(s *sse.Server) []metric.Metric {
	return []metric.Metric{
		metric.Of(metric.Gauge, "sse_sessions",
			"Of the open sessions, those over Server-Sent Events.",
			func() int { return s.Stats().Sessions }),
		metric.Of(metric.Counter, "sse_sent_events_total",
			"Events written.",
			func() uint64 { return s.Stats().FramesOut }),
		metric.Of(metric.Counter, "sse_sent_writes_total",
			"Writes that carried them, and heartbeats.",
			func() uint64 { return s.Stats().WritesOut }),
		metric.Of(metric.Counter, "sse_sent_bytes_total",
			"Bytes of these.",
			func() uint64 { return s.Stats().BytesOut }),
		metric.Of(metric.Counter, "sse_stopped_total",
			"Clients told with 204 not to come back.",
			func() uint64 { return s.Stats().Stopped }),
		metric.Of(metric.Counter, "sse_sent_away_total",
			"Clients that could not be let in, and were told when to come back.",
			func() uint64 { return s.Stats().SentAway }),
	}
}

func apiMetrics(a *api.API) []metric.Metric {
	return []metric.Metric{
		metric.Of(metric.Counter, "http_published_total",
			"Messages that the bus took from the HTTP API.",
			func() uint64 { return a.Stats().Accepted }),
		metric.Of(metric.Gauge, "http_body_bytes",
			"Memory that the bodies of publish requests in flight take.",
			func() int64 { return a.Stats().Bodies }),
		metric.PerLabel(metric.Counter, "http_unauthorized_total",
			"Publish requests refused because of their API key, by why.", "reason",
			func() map[string]uint64 { return a.Stats().Unauthorized }),
		metric.PerLabel(metric.Counter, "http_refused_total",
			"Publish requests refused, by status.", "status",
			func() map[int]uint64 { return a.Stats().Refused }),
	}
}
