package fanfare

import (
	"slices"

	"github.com/fanfarebus/fanfare/adapters/auth"
	"github.com/fanfarebus/fanfare/adapters/metrics"
	"github.com/fanfarebus/fanfare/adapters/migrate"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/metric"
	"github.com/fanfarebus/fanfare/ports/session"
)

// newMetrics collects what the parts of a node describe of themselves.
func newMetrics(cfg Config, o options, p parts) *metrics.Registry {
	m := metrics.New("fanfare")
	m.Info("build_info", "Always 1; the labels name the software's version and the node.",
		map[string]string{"version": o.version, "node": cfg.Node})
	m.Register(p.describe()...)
	return m
}

func oneIf(is bool) int {
	if is {
		return 1
	}
	return 0
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
		auth.KeyMetrics(p.logins.reader),
		p.registry.Metrics(),
		session.OutputMetrics(map[string]func() session.Output{
			"ws": p.sockets.Output, "sse": p.events.Output,
		}),
		p.sockets.Metrics(),
		p.events.Metrics(),
		p.api.Metrics(),
		p.health.Metrics(),
		[]metric.Metric{metric.TimeOf("bus_publish_duration_seconds",
			"Time from a call that publishes, with one message or several, to the answer of "+
				"the bus that it took them all.", p.options.published.Read)},
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
		metric.Of(metric.Gauge, "bus_up", "1 while the bus answers, else 0.",
			func() int { return oneIf(b.Up()) }),
		counter("bus_published_total", "Messages that this node published and the bus took, "+
			"those to other nodes and events about users included.",
			func(s transport.Stats) uint64 { return s.Published }),
		counter("bus_publish_errors_total",
			"Messages that this node published and the bus did not take, "+
				"or of which that is not known.",
			func(s transport.Stats) uint64 { return s.PublishErrors }),
		counter("bus_reads_total", "Reads from the bus that returned entries.",
			func(s transport.Stats) uint64 { return s.Batches }),
		counter("bus_missing_sequences_total",
			"Times that sequence numbers of a publisher were missing, on a bus without a log.",
			func(s transport.Stats) uint64 { return s.Missing }),
		counter("bus_late_total",
			"Messages dropped because they came a second time, or after their sequence number "+
				"had counted as missing, on a bus without a log.",
			func(s transport.Stats) uint64 { return s.Late }),
		counter("bus_group_lost_total",
			"Messages that consumer groups of this process have lost, because the bus had "+
				"trimmed them before they were acked.",
			func(s transport.Stats) uint64 { return s.Lost }),
		counter("bus_interruptions_total", "Times that a subscription to the bus was interrupted.",
			func(s transport.Stats) uint64 { return s.Interruptions }),
		metric.Of(metric.Gauge, "bus_lagging_subscriptions",
			"Subscriptions that have been behind the bus for more than 5 s although it answers.",
			func() int { return b.Stats().Lagging }),
		metric.PerLabel(metric.Counter, "bus_gaps_total",
			"Interruptions after which this node could not prove that nothing is missing, "+
				"by the reason of the gap that everybody on the system was told.", "reason",
			func() map[domain.GapReason]uint64 { return b.Stats().Gaps }),
		metric.Of(metric.Gauge, "bus_moved_systems",
			"Systems in use here for which the new bus has taken over, while the bus is moved.",
			func() int {
				if moving, ok := b.(*migrate.DualBus); ok {
					return moving.Moved()
				}
				return 0
			}),
	}
}
