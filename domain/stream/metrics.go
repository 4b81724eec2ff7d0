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
		counter("messages_total", "Messages that came from the bus and entered the node's window of "+
			"recent messages, whether or not a session is here for them: "+
			"neither repeated nor expired.",
			func(s Stats) uint64 { return s.Delivered }),
		counter("messages_matched_total",
			"Messages from the bus for which this node had at least one session.",
			func(s Stats) uint64 { return s.Matched }),
		counter("messages_queued_total", "Messages put into the outboxes of sessions, "+
			"counted once for each session; they are written after that.",
			func(s Stats) uint64 { return s.Offered }),
		counter("duplicates_total",
			"Messages dropped because the same id with the same content was seen already.",
			func(s Stats) uint64 { return s.Duplicates }),
		counter("id_conflicts_total",
			"Messages delivered under an id that was seen with other content.",
			func(s Stats) uint64 { return s.Conflicts }),
		counter("dedupe_forgotten_total",
			"Ids of messages forgotten before dedupe.age, because more came than are kept.",
			func(s Stats) uint64 { return s.Forgotten }),
		counter("expired_total", "Messages dropped because they arrived after their ttl.",
			func(s Stats) uint64 { return s.Expired }),
		perSystem(h, metric.Gauge, "window_entries", "Entries in the window of recent messages.",
			func(s Stats) int { return s.Entries }),
		perSystem(h, metric.Gauge, "window_bytes",
			"Bytes of memory that the window of recent messages takes.",
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
		gauge("attached_sessions", "Sessions attached to the system.",
			func(s Stats) int { return s.Sessions }),
		gauge("behind_sessions",
			"Sessions attached to the system that are catching up with its messages.",
			func(s Stats) int { return s.Behind }),
		counter("outbox_full_total",
			"Times that the outbox of a session was full, so that the session fell behind.",
			func(s Stats) uint64 { return s.FellBack }),
		counter("resumed_total", "Attachments of sessions that continued at the cursor "+
			"which the client showed, without a gap.",
			func(s Stats) uint64 { return s.Resumed }),
		gauge("replaying_sessions",
			"Sessions that wait until the log of the bus was read again for them.",
			func(s Stats) int { return s.Replaying }),
		counter("backfills_total",
			"Times that the log of the bus was read again for sessions that came back late.",
			func(s Stats) uint64 { return s.Backfills }),
		counter("backfill_entries_total",
			"Entries read from the log of the bus again for sessions that came back late.",
			func(s Stats) uint64 { return s.Scanned }),
		counter("backfill_messages_total", "Messages read from the log of the bus again to which "+
			"a session that came back late listens.",
			func(s Stats) uint64 { return s.Replayed }),
		perSystem(h, metric.Gauge, "backlog_bytes",
			"Bytes read from the log of the bus again that wait for sessions which take them slowly.",
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
