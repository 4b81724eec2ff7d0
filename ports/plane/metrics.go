package plane

import (
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/internal/metric"
)

// Metrics describes what the plane counts.
func (p *Plane) Metrics() []metric.Metric {
	counter := func(name, help string, read func(control.Stats) uint64) metric.Metric {
		return metric.Of(metric.Counter, name, help, func() uint64 { return read(p.stats()) })
	}
	gauge := func(name, help string, read func(control.Stats) int) metric.Metric {
		return metric.Of(metric.Gauge, name, help, func() int { return read(p.stats()) })
	}
	return []metric.Metric{
		metric.Of(metric.Gauge, "control_up",
			"1 while the control topic can be read and written or the bus is down, else 0.", p.up),
		counter("control_received_total",
			"Messages that came on the control topic, this node's own included.",
			func(s control.Stats) uint64 { return s.Received }),
		counter("control_sent_total", "Messages that this node made for the control topic.",
			func(s control.Stats) uint64 { return s.Sent }),
		metric.PerLabel(metric.Counter, "control_refused_total",
			"Messages on the control topic of which something was not believed, by reason.", "reason",
			func() map[string]uint64 { return p.stats().Refused }),
		metric.Of(metric.Counter, "control_publish_errors_total",
			"Messages for the control topic that the bus did not take, or of which that is not known.",
			p.writing.failures),
		metric.Of(metric.Counter, "control_panics_total",
			"Messages on the control topic that caused a panic.",
			p.panics.Load),
		counter("control_syncs_total",
			"Times that this node asked another one who is attached there.",
			func(s control.Stats) uint64 { return s.Syncs }),
		counter("control_snapshots_total",
			"Times that this node told others who is attached here, because they asked.",
			func(s control.Stats) uint64 { return s.Snapshots }),
		counter("control_questions_total", "Questions that this node asked all others.",
			func(s control.Stats) uint64 { return s.Questions }),
		counter("control_answers_total", "Answers of this node to questions of others.",
			func(s control.Stats) uint64 { return s.Answers }),
		counter("control_deaths_total", "Nodes that were silent for too long and count as dead.",
			func(s control.Stats) uint64 { return s.Deaths }),
		gauge("control_nodes",
			"Live nodes that this one knows, itself included.", func(s control.Stats) int { return s.Nodes }),
		gauge("control_facts",
			"Facts that this node knows: blocks, revocations, members, recent disconnects.",
			func(s control.Stats) int { return s.Facts }),
		gauge("control_rows", "Users in places on other nodes, as far as this one keeps them.",
			func(s control.Stats) int { return s.Rows }),
		gauge("presence_users", "Users who are present on any node, counted in each place.",
			func(s control.Stats) int { return s.Users }),
		metric.Of(metric.Gauge, "control_waits",
			"Commands that wait for other nodes or the bus.", p.waiting),
		metric.Of(metric.Counter, "events_published_total",
			"Events about users that this node published and the bus took.",
			p.speech.published.Load),
		metric.Of(metric.Counter, "events_dropped_total",
			"Events about users that the bus refused for too long, and that were dropped.",
			p.speech.dropped.Load),
	}
}

func (p *Plane) stats() control.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Stats()
}

func (p *Plane) up() int {
	if p.Trouble() != "" {
		return 0
	}
	return 1
}

func (p *Plane) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waits
}
