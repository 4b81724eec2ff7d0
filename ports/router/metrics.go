package router

import "github.com/fanfarebus/fanfare/internal/metric"

// Metrics describes what the router counts.
func (r *Router) Metrics() []metric.Metric {
	return []metric.Metric{
		metric.Of(metric.Counter, "entries_total",
			"Entries read from the bus, of all systems together.",
			func() uint64 { return r.Stats().Entries }),
		metric.Of(metric.Counter, "poison_total",
			"Entries read from the bus that could not be decoded.",
			func() uint64 { return r.Stats().Poison }),
		metric.Of(metric.Counter, "panics_total",
			"Entries read from the bus whose handling panicked.",
			func() uint64 { return r.Stats().Panics }),
		metric.TimeOf("bus_delay_seconds",
			"Time from when the bus took a message, by the clock of the bus, to when this node "+
				"read it; not on a bus that tells no times, nor of what is read at the start.",
			r.delay.Read),
	}
}
