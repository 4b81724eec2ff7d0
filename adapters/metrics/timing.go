package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"github.com/fanfarebus/fanfare/internal/metric"
)

// A timings is a [prometheus.Collector] of one metric of the kind [metric.Timing].
type timings struct {
	desc  *prometheus.Desc
	label string // "" for none
	read  func() map[string]metric.Distribution
}

// Describe is part of [prometheus.Collector].
func (t *timings) Describe(ch chan<- *prometheus.Desc) { ch <- t.desc }

// Collect is part of [prometheus.Collector].
func (t *timings) Collect(ch chan<- prometheus.Metric) {
	for value, d := range t.read() {
		one := timing{desc: t.desc, distribution: d}
		if t.label != "" {
			one.labels = []*dto.LabelPair{{Name: proto.String(t.label), Value: proto.String(value)}}
		}
		ch <- one
	}
}

// A timing is a [prometheus.Metric] with one distribution.
type timing struct {
	desc         *prometheus.Desc
	labels       []*dto.LabelPair
	distribution metric.Distribution
}

// Desc is part of [prometheus.Metric].
func (t timing) Desc() *prometheus.Desc { return t.desc }

// Write is part of [prometheus.Metric]. The text format shows the classic buckets
// alone; a Prometheus that wants native histograms asks for the other format, which
// has both.
func (t timing) Write(out *dto.Metric) error {
	d := &t.distribution
	h := &dto.Histogram{
		SampleCount:   proto.Uint64(d.Count),
		SampleSum:     proto.Float64(d.Sum),
		Schema:        proto.Int32(metric.Schema),
		ZeroThreshold: proto.Float64(metric.ZeroBound),
		ZeroCount:     proto.Uint64(d.Zero),
	}
	below := uint64(0)
	for i, bound := range metric.Bounds() {
		below += d.Classic[i]
		h.Bucket = append(h.Bucket, &dto.Bucket{
			UpperBound: proto.Float64(bound.Seconds()), CumulativeCount: proto.Uint64(below),
		})
	}
	h.PositiveSpan, h.PositiveDelta = sparse(d.Native)
	if len(h.PositiveSpan) == 0 && d.Zero == 0 {
		// This tells a native histogram without observations from a classic one.
		h.PositiveSpan = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}}
	}
	out.Label, out.Histogram = t.labels, h
	return nil
}

// mostEmpty is how many empty buckets a span may hold before it is cheaper to begin
// another one.
const mostEmpty = 2

// sparse returns the buckets that are not empty as spans, with the difference of each
// bucket to the one before.
func sparse(cells []uint64) (spans []*dto.BucketSpan, deltas []int64) {
	next, last := 0, int64(0) // the bucket after those in spans; the count before it
	add := func(n uint64) {
		*spans[len(spans)-1].Length++
		deltas = append(deltas, int64(n)-last)
		last = int64(n)
		next++
	}
	for i, n := range cells {
		switch empty := i - next; {
		case n == 0:
			continue
		case len(spans) == 0:
			next = i
			spans = []*dto.BucketSpan{{
				Offset: proto.Int32(int32(metric.FirstNative + i)), Length: proto.Uint32(0)}}
		case empty > mostEmpty:
			next = i
			spans = append(spans, &dto.BucketSpan{
				Offset: proto.Int32(int32(empty)), Length: proto.Uint32(0)})
		default:
			for next < i {
				add(0)
			}
		}
		add(n)
	}
	return spans, deltas
}
