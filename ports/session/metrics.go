package session

import "github.com/fanfarebus/fanfare/internal/metric"

// Metrics describes what the registry counts, for all ports together.
func (reg *Registry) Metrics() []metric.Metric {
	return []metric.Metric{
		metric.Of(metric.Gauge, "sessions",
			"Open sessions of this node, over WebSocket and Server-Sent Events.",
			func() int { return reg.Stats().Sessions }),
		metric.Of(metric.Gauge, "sessions_limit",
			"How many sessions this node lets be open: the setting limits.sessions.",
			func() int { return reg.cfg.Sessions }),
		metric.Of(metric.Gauge, "users", "Users with an open session on this node.",
			func() int { return reg.Stats().Users }),
		metric.Of(metric.Counter, "sessions_opened_total", "Sessions that were opened.",
			func() uint64 { return reg.Stats().Opened }),
		metric.PerLabel(metric.Counter, "sessions_closed_total",
			"Sessions that were closed, by close code.", "code",
			func() map[int]uint64 { return reg.Stats().Closed }),
		metric.PerLabel(metric.Counter, "connects_refused_total",
			"Requests for a session that got none, by HTTP status.", "status",
			func() map[int]uint64 { return reg.Stats().Rejected }),
		metric.PerLabel(metric.Counter, "refusals_total",
			"Requests for a session that got none, and new tokens of open sessions that were "+
				"not taken, by reason.", "reason",
			func() map[string]uint64 { return reg.Stats().Reasons }),
		metric.PerLabel(metric.Counter, "unnamed_clients_total",
			"Requests for a session whose proxy did not say who the client is, by why not.", "reason",
			func() map[string]uint64 { return reg.Stats().Unnamed }),
	}
}
