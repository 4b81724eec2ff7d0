package fanfare

import (
	"slices"

	"github.com/fanfarebus/fanfare/adapters/metrics"
	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/metric"
	"github.com/fanfarebus/fanfare/ports/api"
	"github.com/fanfarebus/fanfare/ports/session"
	"github.com/fanfarebus/fanfare/ports/sse"
	"github.com/fanfarebus/fanfare/ports/ws"
)

// newMetrics collects what the parts of a node describe of themselves.
func newMetrics(cfg Config, o options, p parts) *metrics.Registry {
	m := metrics.New("fanfare")
	m.Info("build_info", "The software and the node.",
		map[string]string{"version": o.version, "node": cfg.Node})
	m.Register(slices.Concat(
		busMetrics(p.bus),
		p.router.Metrics(),
		p.hub.Metrics(),
		sessionMetrics(p.registry),
		socketMetrics(p.sockets),
		eventMetrics(p.events),
		apiMetrics(p.api),
		p.health.Metrics(),
	)...)
	return m
}

// busMetrics describes the bus, be it one or two of which one takes over. It stands
// here, and not in adapters/transport, because that package is supported API: its
// exported functions must not have an internal type.
func busMetrics(b bus) []metric.Metric {
	counter := func(name, help string, read func(transport.Stats) uint64) metric.Metric {
		return metric.Of(metric.Counter, name, help, func() uint64 { return read(b.Stats()) })
	}
	return []metric.Metric{
		metric.Of(metric.Gauge, "bus_up", "1 while the bus answers.", func() int {
			if b.Up() {
				return 1
			}
			return 0
		}),
		counter("bus_published_total", "Messages that the bus took.",
			func(s transport.Stats) uint64 { return s.Published }),
		counter("bus_publish_errors_total",
			"Messages that the bus did not take, or of which that is not known.",
			func(s transport.Stats) uint64 { return s.PublishErrors }),
		counter("bus_reads_total", "Reads that returned entries.",
			func(s transport.Stats) uint64 { return s.Batches }),
		counter("bus_holes_total",
			"Missing sequence numbers of publishers, on a bus without a log.",
			func(s transport.Stats) uint64 { return s.Missing }),
		counter("bus_late_total",
			"Messages dropped because they came again, or after their number had been missing.",
			func(s transport.Stats) uint64 { return s.Late }),
		counter("bus_interruptions_total", "Times a subscription was interrupted.",
			func(s transport.Stats) uint64 { return s.Interruptions }),
		metric.Of(metric.Gauge, "bus_behind_subscriptions",
			"Subscriptions that have been behind the bus for more than 5 s.",
			func() int { return b.Stats().Lagging }),
		metric.PerLabel(metric.Counter, "bus_breaks_total",
			"Interruptions without proof of continuity, by reason.", "reason",
			func() map[domain.GapReason]uint64 { return b.Stats().Gaps }),
		metric.Of(metric.Gauge, "bus_moved_systems",
			"Systems for which the new bus has taken over, of those in use here.",
			func() int {
				if moving, ok := b.(*migrate.DualBus); ok {
					return moving.Moved()
				}
				return 0
			}),
	}
}

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
