// Package metrics shows what a node counts to Prometheus.
//
// The packages of a node count for themselves, in whatever way is cheap for
// them, and describe their counters as [metric.Metric] values. A [Registry]
// reads these when it is scraped, so counting costs nothing here.
package metrics

import (
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/fanfarebus/fanfare/internal/metric"
)

// MaxLabels is how many values of one label are shown. Clients can invent
// names, and each value costs memory in everything downstream.
const MaxLabels = 1000

// Other is the label value that sums up what is beyond [MaxLabels].
const Other = "other"

// A Registry holds what is shown. Register everything before the first scrape.
// Scrapes may be concurrent, and then the functions of the metrics are called
// concurrently, too. Registering a name twice, or one that Prometheus does not
// allow, is a programming error and panics.
type Registry struct {
	namespace string
	inner     *prometheus.Registry
}

// New returns a Registry that puts namespace and an underscore before every
// name, and already shows the Go runtime and the process.
func New(namespace string) *Registry {
	r := &Registry{namespace, prometheus.NewRegistry()}
	r.inner.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// Register shows the metrics from now on. Of a number with a label it shows at most
// [MaxLabels] values: those that came first, and the sum of the others as
// [Other]. The labels of distributions must have few values.
func (r *Registry) Register(metrics ...metric.Metric) {
	for _, m := range metrics {
		r.inner.MustRegister(r.collector(m))
	}
}

func (r *Registry) collector(m metric.Metric) prometheus.Collector {
	name := prometheus.BuildFQName(r.namespace, "", m.Name)
	switch {
	case m.Timings != nil:
		var labels []string
		if m.Label != "" {
			labels = []string{m.Label}
		}
		return &timings{prometheus.NewDesc(name, m.Help, labels, nil), m.Label, m.Timings}
	case m.Values != nil:
		return &perLabel{
			desc:  prometheus.NewDesc(name, m.Help, []string{m.Label}, nil),
			kind:  valueType(m.Kind),
			read:  m.Values,
			shown: map[string]bool{},
		}
	case m.Kind == metric.Gauge:
		opts := prometheus.GaugeOpts{Namespace: r.namespace, Name: m.Name, Help: m.Help}
		return prometheus.NewGaugeFunc(opts, m.Value)
	default:
		opts := prometheus.CounterOpts{Namespace: r.namespace, Name: m.Name, Help: m.Help}
		return prometheus.NewCounterFunc(opts, m.Value)
	}
}

func valueType(k metric.Kind) prometheus.ValueType {
	if k == metric.Gauge {
		return prometheus.GaugeValue
	}
	return prometheus.CounterValue
}

// Info shows a constant 1 with labels that describe the node, such as its
// version.
func (r *Registry) Info(name, help string, labels map[string]string) {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: r.namespace, Name: name, Help: help, ConstLabels: labels,
	})
	g.Set(1)
	r.inner.MustRegister(g)
}

// Handler answers scrapes with Prometheus's text format, or with its binary one if
// the scraper asks for that: it alone has native histograms. A scrape that comes
// while another answer is still being written may get the same answer, which is
// then less than a second old. So neither many scrapers nor one that does not
// read its answer delays the others.
func (r *Registry) Handler() http.Handler { return newScrape(r.inner) }

// A perLabel is a [prometheus.Collector] of one metric with a label. It
// remembers which values of the label it shows, so that a series does not
// disappear because others have been added.
type perLabel struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func() map[string]float64

	mu    sync.Mutex
	shown map[string]bool // at most MaxLabels; guarded by mu
}

// Describe is part of [prometheus.Collector].
func (p *perLabel) Describe(ch chan<- *prometheus.Desc) { ch <- p.desc }

// Collect is part of [prometheus.Collector].
func (p *perLabel) Collect(ch chan<- prometheus.Metric) {
	for label, value := range p.capped(p.read()) {
		m, err := prometheus.NewConstMetric(p.desc, p.kind, value, label)
		if err != nil {
			m = prometheus.NewInvalidMetric(p.desc, err)
		}
		ch <- m
	}
}

// capped returns at most MaxLabels of the values, and the sum of the others as
// Other.
func (p *perLabel) capped(values map[string]float64) map[string]float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for label := range p.shown {
		if _, ok := values[label]; !ok {
			delete(p.shown, label)
		}
	}
	out := make(map[string]float64, min(len(values), MaxLabels+1))
	for label, value := range values {
		if !p.shown[label] && len(p.shown) < MaxLabels {
			p.shown[label] = true
		}
		name := Other
		if p.shown[label] {
			name = strings.ToValidUTF8(label, "\uFFFD")
		}
		out[name] += value
	}
	return out
}
