package metrics_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/metrics"
	"github.com/fanfarebus/fanfare/internal/metric"
)

func scrape(t *testing.T, r *metrics.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// lines returns the samples of one metric.
func lines(text, name string) (out []string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

func TestValuesAreReadWhenScraped(t *testing.T) {
	r := metrics.New("fanfare")
	n := 1.0
	r.Register(
		metric.Of(metric.Counter, "messages_total", "Messages.", func() float64 { return n }),
		metric.Of(metric.Gauge, "sessions", "Sessions.", func() float64 { return -n }),
		metric.PerLabel(metric.Gauge, "lag_seconds", "Lag.", "system",
			func() map[string]float64 { return map[string]float64{"orders": n} }))
	r.Info("build_info", "Version.", map[string]string{"version": "v1"})
	n = 7
	text := scrape(t, r)
	for _, want := range []string{
		"# TYPE fanfare_messages_total counter", "fanfare_messages_total 7\n",
		"# TYPE fanfare_sessions gauge", "fanfare_sessions -7\n",
		`fanfare_lag_seconds{system="orders"} 7`, `fanfare_build_info{version="v1"} 1`,
		"go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestLabelsAreCappedAndTheRestIsSummed(t *testing.T) {
	r := metrics.New("fanfare")
	values := map[string]float64{"first": 5}
	r.Register(metric.PerLabel(metric.Counter, "n_total", "N.", "system",
		func() map[string]float64 { return values }))
	scrape(t, r)
	const more = 50
	for i := range metrics.MaxLabels - 1 + more {
		values[fmt.Sprintf("s%d", i)] = 2
	}
	text := scrape(t, r)
	if got := len(lines(text, "fanfare_n_total{")); got != metrics.MaxLabels+1 {
		t.Errorf("%d series; want %d", got, metrics.MaxLabels+1)
	}
	for _, want := range []string{`fanfare_n_total{system="first"} 5`, fmt.Sprintf(`fanfare_n_total{system="other"} %d`, 2*more)} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	before := strings.Join(lines(text, "fanfare_n_total{"), "\n")
	if after := strings.Join(lines(scrape(t, r), "fanfare_n_total{"), "\n"); after != before {
		t.Error("another scrape shows other series")
	}

	clear(values)
	values["new"] = 1
	if got := lines(scrape(t, r), "fanfare_n_total{"); len(got) != 1 || got[0] != `fanfare_n_total{system="new"} 1` {
		t.Errorf("after all others went: %v; want only the new one", got)
	}
}

func TestHostileLabelsDoNotBreakAScrape(t *testing.T) {
	r := metrics.New("fanfare")
	r.Register(metric.PerLabel(metric.Gauge, "n", "N.", "system", func() map[string]float64 {
		return map[string]float64{"\xff\n\"": 1, "other": 1, "": 1}
	}))
	if got := lines(scrape(t, r), "fanfare_n{"); len(got) != 3 {
		t.Errorf("got %q; want three series", got)
	}
}

func TestScrapesMayBeConcurrent(t *testing.T) {
	r := metrics.New("fanfare")
	r.Register(metric.PerLabel(metric.Gauge, "n", "N.", "system",
		func() map[string]float64 { return map[string]float64{"a": 1} }))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			w := httptest.NewRecorder()
			r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			if !strings.Contains(w.Body.String(), `fanfare_n{system="a"} 1`) {
				t.Errorf("status %d", w.Code)
			}
		})
	}
	wg.Wait()
}
