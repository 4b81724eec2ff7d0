package router

import "github.com/fanfarebus/fanfare/internal/metric"

// Metrics describes what the router counts.
func (r *Router) Metrics() []metric.Metric {
	return []metric.Metric{
		metric.Of(metric.Counter, "entries_total", "Entries read from the bus.",
			func() uint64 { return r.Stats().Entries }),
		metric.Of(metric.Counter, "poison_total", "Entries from the bus that could not be decoded.",
			func() uint64 { return r.Stats().Poison }),
		metric.Of(metric.Counter, "panics_total", "Entries from the bus whose delivery panicked.",
			func() uint64 { return r.Stats().Panics }),
	}
}
