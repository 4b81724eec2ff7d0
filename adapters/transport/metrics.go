package transport

import (
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/metric"
)

// Metrics describes a bus: one [Transport], or two that are used as one. stats
// returns its counters, and up says whether it answers.
func Metrics(stats func() Stats, up func() bool) []metric.Metric {
	counter := func(name, help string, read func(Stats) uint64) metric.Metric {
		return metric.Of(metric.Counter, name, help, func() uint64 { return read(stats()) })
	}
	return []metric.Metric{
		metric.Of(metric.Gauge, "bus_up", "1 while the bus answers.", func() int {
			if up() {
				return 1
			}
			return 0
		}),
		counter("bus_published_total", "Messages that the bus took.",
			func(s Stats) uint64 { return s.Published }),
		counter("bus_publish_errors_total",
			"Messages that the bus did not take, or of which that is not known.",
			func(s Stats) uint64 { return s.PublishErrors }),
		counter("bus_reads_total", "Reads that returned entries.",
			func(s Stats) uint64 { return s.Batches }),
		counter("bus_holes_total",
			"Missing sequence numbers of publishers, on a bus without a log.",
			func(s Stats) uint64 { return s.Missing }),
		counter("bus_late_total",
			"Messages dropped because they came again, or after their number had been missing.",
			func(s Stats) uint64 { return s.Late }),
		counter("bus_interruptions_total", "Times a subscription was interrupted.",
			func(s Stats) uint64 { return s.Interruptions }),
		metric.Of(metric.Gauge, "bus_behind_subscriptions",
			"Subscriptions that have been behind the bus for more than 5 s.",
			func() int { return stats().Lagging }),
		metric.PerLabel(metric.Counter, "bus_breaks_total",
			"Interruptions without proof of continuity, by reason.", "reason",
			func() map[domain.GapReason]uint64 { return stats().Gaps }),
	}
}
