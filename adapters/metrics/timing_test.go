package metrics_test

import (
	"errors"
	"io"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/fanfarebus/fanfare/adapters/metrics"
	"github.com/fanfarebus/fanfare/internal/metric"
)

// asPrometheusDoes is what a Prometheus asks for that takes native histograms.
const asPrometheusDoes = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;" +
	"encoding=delimited;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"

// binary scrapes as a Prometheus does that takes native histograms.
func binary(t *testing.T, r *metrics.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	w, request := httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil)
	request.Header.Set("Accept", asPrometheusDoes)
	r.Handler().ServeHTTP(w, request)
	format := expfmt.ResponseFormat(w.Result().Header)
	if format.FormatType() != expfmt.TypeProtoDelim {
		t.Fatalf("the answer is %s", format)
	}
	all := make(map[string]*dto.MetricFamily)
	for d := expfmt.NewDecoder(w.Body, format); ; {
		f := new(dto.MetricFamily)
		if err := d.Decode(f); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[f.GetName()] = f
	}
}

func TestTimingsHaveClassicBuckets(t *testing.T) {
	r := metrics.New("fanfare")
	var h metric.Histogram
	r.Register(metric.TimeOf("took_seconds", "Time.", h.Read))
	h.Observe(3*time.Millisecond, 4)
	h.Observe(20*time.Second, 1)
	text := scrape(t, r)
	for _, want := range []string{
		"# TYPE fanfare_took_seconds histogram",
		`fanfare_took_seconds_bucket{le="0.0025"} 0`, `fanfare_took_seconds_bucket{le="0.005"} 4`,
		`fanfare_took_seconds_bucket{le="10"} 4`, `fanfare_took_seconds_bucket{le="+Inf"} 5`,
		"fanfare_took_seconds_sum 20.012", "fanfare_took_seconds_count 5",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

// The buckets of a native histogram are read as Prometheus reads them: each span begins
// Offset buckets after the one before, and each delta is to the bucket before.
func TestAScraperThatAsksForThemGetsNativeHistograms(t *testing.T) {
	r := metrics.New("fanfare")
	var ws, sse, none metric.Histogram
	r.Register(metric.TimePerLabel("delay_seconds", "Time.", "port",
		func() map[string]metric.Distribution {
			return map[string]metric.Distribution{
				"ws": ws.Read(), "sse": sse.Read(), "none": none.Read()}
		}))
	sse.Observe(0, 2)
	times := map[time.Duration]uint64{
		10 * time.Microsecond: 3, 50 * time.Millisecond: 10, 60 * time.Millisecond: 4,
		75 * time.Millisecond: 1, 3 * time.Second: 7,
	}
	for d, n := range times {
		ws.Observe(d, n)
	}
	seen := 0
	for _, m := range binary(t, r)["fanfare_delay_seconds"].Metric {
		h := m.Histogram
		if h.GetSchema() != metric.Schema || len(h.Bucket) == 0 {
			t.Errorf("schema %d, %d classic buckets", h.GetSchema(), len(h.Bucket))
		}
		index, count, delta := int32(0), int64(0), 0
		total := h.GetZeroCount()
		for _, span := range h.PositiveSpan {
			index += span.GetOffset()
			for range span.GetLength() {
				count += h.PositiveDelta[delta]
				delta++
				total += uint64(count)
				high := math.Exp2(float64(index) / (1 << metric.Schema))
				low := math.Exp2(float64(index-1) / (1 << metric.Schema))
				want := uint64(0)
				for d, n := range times {
					if s := d.Seconds(); s > low && s <= high {
						want += n
					}
				}
				if uint64(count) != want {
					t.Errorf("%d from %v to %v s; want %d", count, low, high, want)
				}
				index++
			}
		}
		if total != h.GetSampleCount() {
			t.Errorf("%d in the buckets of %s, %d in all", total, m.Label, h.GetSampleCount())
		}
		switch port := m.Label[0].GetValue(); port {
		case "ws":
			seen += int(total)
		case "sse":
			if h.GetZeroCount() != 2 {
				t.Errorf("zero bucket: %d, want 2", h.GetZeroCount())
			}
		default:
			if len(h.PositiveSpan) != 1 {
				t.Error("without a span it is taken for a classic histogram")
			}
		}
	}
	if seen != 25 {
		t.Errorf("%d observations, want 25", seen)
	}
}

func TestWhoAsksForNothingGetsText(t *testing.T) {
	for _, accept := range []string{"", "*/*", "text/html", "text/plain"} {
		w, request := httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil)
		request.Header.Set("Accept", accept)
		metrics.New("fanfare").Handler().ServeHTTP(w, request)
		if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
			t.Errorf("Accept %q: %q", accept, got)
		}
	}
}
