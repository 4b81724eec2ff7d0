package fanfare

import (
	"slices"

	"github.com/fanfarebus/fanfare/adapters/metrics"
	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/metric"
)

// newMetrics collects what the parts of a node describe of themselves.
func newMetrics(cfg Config, o options, p parts) *metrics.Registry {
	m := metrics.New("fanfare")
	m.Info("build_info", "The software and the node.",
		map[string]string{"version": o.version, "node": cfg.Node})
	m.Register(p.describe()...)
	return m
}

// describe returns what the parts of a node count. docs/operating.md lists it, and
// a test compares the two.
func (p parts) describe() []metric.Metric {
	var ofPlane []metric.Metric
	if p.plane != nil {
		ofPlane = p.plane.Metrics()
	}
	return slices.Concat(
		busMetrics(p.bus),
		p.router.Metrics(),
		p.hub.Metrics(),
		p.tokens.Metrics(),
		p.registry.Metrics(),
		p.sockets.Metrics(),
		p.events.Metrics(),
		p.api.Metrics(),
		p.health.Metrics(),
		ofPlane,
		p.webhooks.Metrics(),
	)
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
		counter("bus_group_lost_total",
			"Messages that consumer groups have lost, because the bus had trimmed them.",
			func(s transport.Stats) uint64 { return s.Lost }),
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
