// Package metrics shows what a node counts to Prometheus. Components count for
// themselves, in whatever way is cheap for them; a Registry reads them when it
// is scraped, so that counting costs nothing here.
package metrics

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// MaxLabels is how many values of one label are shown. Clients can invent
// names, and each value costs memory in everything downstream.
const MaxLabels = 1000

// Other is the label value that sums up what is beyond MaxLabels.
const Other = "other"

// A Kind says how values behave over time.
type Kind int

// Kinds of values.
const (
	Counter Kind = iota // only grows
	Gauge               // goes up and down
)

// A Registry holds what is shown. Register everything before the first scrape;
// scrapes may be concurrent, and so may the calls to the read functions.
// Registering a name twice, or one that Prometheus does not allow, is a
// programming error and panics.
type Registry struct {
	namespace string
	inner     *prometheus.Registry
}

// New returns a Registry that puts namespace and an underscore before every
// name, and already shows the Go runtime and the process.
func New(namespace string) *Registry {
	r := &Registry{namespace, prometheus.NewRegistry()}
	r.inner.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Counter shows a value that only grows. Its name ends in _total.
func (r *Registry) Counter(name, help string, read func() float64) {
	r.inner.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: r.namespace, Name: name, Help: help}, read))
}

// Gauge shows a value that goes up and down.
func (r *Registry) Gauge(name, help string, read func() float64) {
	r.inner.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: r.namespace, Name: name, Help: help}, read))
}

// PerLabel shows one value for each key of what read returns, as the label's
// value. Of more than MaxLabels keys those that came first are shown, and the
// others' sum as Other. The map is not kept.
func (r *Registry) PerLabel(name, help string, kind Kind, label string, read func() map[string]float64) {
	r.inner.MustRegister(&perLabel{
		desc:  prometheus.NewDesc(prometheus.BuildFQName(r.namespace, "", name), help, []string{label}, nil),
		kind:  map[Kind]prometheus.ValueType{Counter: prometheus.CounterValue, Gauge: prometheus.GaugeValue}[kind],
		read:  read,
		shown: map[string]bool{},
	})
}

// Info shows a constant 1 with labels that describe the node, such as its
// version.
func (r *Registry) Info(name, help string, labels map[string]string) {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: r.namespace, Name: name, Help: help, ConstLabels: labels})
	g.Set(1)
	r.inner.MustRegister(g)
}

// Handler answers scrapes with Prometheus's text format. Those who ask
// while somebody reads an answer may get that one, which is then less than a
// second old: no number of them, and none who does not read, is in the way of
// others.
func (r *Registry) Handler() http.Handler { return &scrape{from: r.inner, now: time.Now} }

// perLabel is a collector of values by label. It remembers which label values
// it shows, so that a series does not come and go as others do.
type perLabel struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func() map[string]float64

	mu    sync.Mutex
	shown map[string]bool // at most MaxLabels; guarded by mu
}

// Describe is part of prometheus.Collector.
func (p *perLabel) Describe(ch chan<- *prometheus.Desc) { ch <- p.desc }

// Collect is part of prometheus.Collector.
func (p *perLabel) Collect(ch chan<- prometheus.Metric) {
	for label, value := range p.capped(p.read()) {
		m, err := prometheus.NewConstMetric(p.desc, p.kind, value, label)
		if err != nil {
			m = prometheus.NewInvalidMetric(p.desc, err)
		}
		ch <- m
	}
}

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
