// Package metric describes the numbers by which a node is monitored.
//
// A package that counts something describes it with a function
// `Metrics() []metric.Metric`, next to the counters themselves. The root of the
// module collects the descriptions, and adapters/metrics shows them to
// Prometheus. So the packages that count need to know no metrics library.
package metric

import "fmt"

// A Kind says how a metric's value behaves over time.
type Kind uint8

// The kinds of metrics.
const (
	Counter Kind = iota // only grows; its name ends in _total
	Gauge               // goes up and down
	Timing              // the distribution of how long something took; its name ends in _seconds
)

// A Metric describes one number or one distribution, or one for each value of a
// label. Exactly one of Value, Values and Timings is set. It is called at each
// scrape, by several goroutines at once if scrapes overlap, so it is safe for
// concurrent use.
type Metric struct {
	// Name is without the prefix fanfare_, which adapters/metrics adds. Names
	// and labels are part of what operators rely on; docs/operating.md lists them.
	Name string
	// Help is one sentence that stands beside the number in a scrape. It is
	// understood without those of other metrics.
	Help string
	Kind Kind

	// Value returns the number of a metric without a label.
	Value func() float64

	// Label names the label of Values or Timings, such as "system". It is empty
	// if there is none.
	Label string
	// Values returns the number for each value of the label. The map belongs to
	// the caller.
	Values func() map[string]float64

	// Timings returns the distribution for each value of the label, or for "" if
	// there is no label. The map belongs to the caller.
	Timings func() map[string]Distribution
}

// A Number is what the packages of a node count with.
type Number interface {
	~int | ~int64 | ~uint64 | ~float64
}

// Of describes a metric that has one value, which read returns.
func Of[N Number](kind Kind, name, help string, read func() N) Metric {
	return Metric{
		Name: name, Help: help, Kind: kind,
		Value: func() float64 { return float64(read()) },
	}
}

// PerLabel describes a metric that has a value for each key of the map that
// read returns. Keys become values of the label as [fmt.Sprint] writes them.
// Package metric only reads the map.
func PerLabel[K comparable, N Number](
	kind Kind, name, help, label string, read func() map[K]N,
) Metric {
	values := func() map[string]float64 {
		numbers := read()
		all := make(map[string]float64, len(numbers))
		for key, n := range numbers {
			all[fmt.Sprint(key)] = float64(n)
		}
		return all
	}
	return Metric{Name: name, Help: help, Kind: kind, Label: label, Values: values}
}

// TimeOf describes a distribution.
func TimeOf(name, help string, read func() Distribution) Metric {
	return Metric{
		Name: name, Help: help, Kind: Timing,
		Timings: func() map[string]Distribution {
			return map[string]Distribution{"": read()}
		},
	}
}

// TimePerLabel describes a distribution for each value of a label.
func TimePerLabel(name, help, label string, read func() map[string]Distribution) Metric {
	return Metric{Name: name, Help: help, Kind: Timing, Label: label, Timings: read}
}
