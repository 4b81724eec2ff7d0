package stream

import (
	"slices"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/metric"
)

// Metrics describes what the streams of the hub count: most of it for each
// system that the hub has open, and the gaps for all of them together.
func (h *Hub) Metrics() []metric.Metric {
	return slices.Concat(h.messageMetrics(), h.sessionMetrics())
}

func (h *Hub) messageMetrics() []metric.Metric {
	counter := func(name, help string, read func(Stats) uint64) metric.Metric {
		return perSystem(h, metric.Counter, name, help, read)
	}
	return []metric.Metric{
		counter("delivered_total", "Messages that entered the window.",
			func(s Stats) uint64 { return s.Delivered }),
		counter("matched_total", "Messages for which a session was here.",
			func(s Stats) uint64 { return s.Matched }),
		counter("offered_total", "Messages given to sessions.",
			func(s Stats) uint64 { return s.Offered }),
		counter("duplicates_total",
			"Messages dropped because their id and content were seen already.",
			func(s Stats) uint64 { return s.Duplicates }),
		counter("id_conflicts_total",
			"Messages delivered under an id that was seen with other content.",
			func(s Stats) uint64 { return s.Conflicts }),
		counter("dedupe_forgotten_total",
			"Ids forgotten before their age, because more came than are kept.",
			func(s Stats) uint64 { return s.Forgotten }),
		counter("expired_total", "Messages that arrived past their ttl.",
			func(s Stats) uint64 { return s.Expired }),
		perSystem(h, metric.Gauge, "window_entries", "Entries in the window.",
			func(s Stats) int { return s.Entries }),
		perSystem(h, metric.Gauge, "window_bytes", "Bytes of the window.",
			func(s Stats) int64 { return s.Bytes }),
	}
}

func (h *Hub) sessionMetrics() []metric.Metric {
	counter := func(name, help string, read func(Stats) uint64) metric.Metric {
		return perSystem(h, metric.Counter, name, help, read)
	}
	gauge := func(name, help string, read func(Stats) int) metric.Metric {
		return perSystem(h, metric.Gauge, name, help, read)
	}
	return []metric.Metric{
		gauge("attached_sessions", "Sessions attached.",
			func(s Stats) int { return s.Sessions }),
		gauge("behind_sessions", "Attached sessions that are catching up.",
			func(s Stats) int { return s.Behind }),
		counter("fell_back_total", "Times a session's outbox was full.",
			func(s Stats) uint64 { return s.FellBack }),
		counter("resumed_total", "Sessions that went on at their cursor.",
			func(s Stats) uint64 { return s.Resumed }),
		gauge("replaying_sessions", "Sessions that wait for the log to be read again.",
			func(s Stats) int { return s.Replaying }),
		counter("backfills_total",
			"Times the log was read again for sessions that came back late.",
			func(s Stats) uint64 { return s.Backfills }),
		counter("backfill_entries_total", "Entries read from the log again for such sessions.",
			func(s Stats) uint64 { return s.Scanned }),
		counter("backfill_messages_total", "Messages among them that such a session listens to.",
			func(s Stats) uint64 { return s.Replayed }),
		perSystem(h, metric.Gauge, "backlog_bytes",
			"Bytes read from the log again that slow sessions have yet to take.",
			func(s Stats) int64 { return s.BacklogBytes }),
		metric.PerLabel(metric.Counter, "gaps_told_total",
			"Gap notices given to sessions, by reason.", "reason", h.told),
	}
}

// perSystem describes one number of each stream that the hub has open.
func perSystem[N metric.Number](
	h *Hub, kind metric.Kind, name, help string, read func(Stats) N,
) metric.Metric {
	return metric.PerLabel(kind, name, help, "system", func() map[domain.System]N {
		all := make(map[domain.System]N)
		for _, s := range h.Streams() {
			all[s.System()] = read(s.Stats())
		}
		return all
	})
}

// told sums up the gaps of all streams.
func (h *Hub) told() map[domain.GapReason]uint64 {
	all := make(map[domain.GapReason]uint64)
	for _, s := range h.Streams() {
		for reason, n := range s.Stats().GapsTold {
			all[reason] += n
		}
	}
	return all
}
