package kafka_test

import (
	"runtime"
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

// BenchmarkPublish runs on a real broker.
func BenchmarkPublish(b *testing.B) {
	driverkit.BenchmarkPublish(b, func(b *testing.B) driverkit.PublishBenchmark {
		k := newKit(b, broker.KafkaURL(b))
		k.publish(driverkit.FramedPayloads(1)...) // creates the topic
		return driverkit.PublishBenchmark{Driver: k.d, Topic: k.topic, Messages: driverkit.FramedPayloads}
	})
}

// BenchmarkRead runs on a real broker.
func BenchmarkRead(b *testing.B) {
	k := newKit(b, broker.KafkaURL(b))
	for range driverkit.LogLength / 1000 {
		k.publish(driverkit.FramedPayloads(1000)...)
	}
	driverkit.BenchmarkReadLog(b, func() transport.Feed { return k.follow(beginning) })
}

// What a feed costs: `go test -bench FeedsAtRest` prints it for each.
func BenchmarkFeedsAtRest(b *testing.B) {
	k := newKit(b, fakeURL(b))
	const n = 200
	feeds := make([]transport.Feed, n)
	var before, after runtime.MemStats
	goroutines := 0
	for b.Loop() {
		k.follow("")
		runtime.GC()
		runtime.ReadMemStats(&before)
		goroutines = runtime.NumGoroutine()
		for i := range feeds {
			feeds[i] = k.follow("")
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		goroutines = runtime.NumGoroutine() - goroutines
		for _, f := range feeds {
			_ = f.Close()
		}
	}
	b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/n, "B/feed")
	b.ReportMetric(float64(goroutines)/n, "goroutines/feed")
}
