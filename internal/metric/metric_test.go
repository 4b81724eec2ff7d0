package metric_test

import (
	"maps"
	"testing"

	"github.com/fanfarebus/fanfare/internal/metric"
)

func TestValuesAreReadEachTime(t *testing.T) {
	n := uint64(1)
	m := metric.Of(metric.Counter, "n_total", "N.", func() uint64 { return n })
	if got := m.Value(); got != 1 {
		t.Errorf("got %v, want 1", got)
	}
	n = 7
	if got := m.Value(); got != 7 {
		t.Errorf("got %v, want 7", got)
	}
	if m.Label != "" || m.Values != nil {
		t.Errorf("a metric with one value has label %q", m.Label)
	}
}

func TestLabelsAreWrittenAsText(t *testing.T) {
	type reason string
	byReason := metric.PerLabel(metric.Counter, "n_total", "N.", "reason",
		func() map[reason]uint64 { return map[reason]uint64{"late": 2} })
	if got, want := byReason.Values(), map[string]float64{"late": 2}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	byStatus := metric.PerLabel(metric.Gauge, "n", "N.", "status",
		func() map[int]int { return map[int]int{404: 3, 503: 1} })
	if got, want := byStatus.Values(), map[string]float64{"404": 3, "503": 1}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
