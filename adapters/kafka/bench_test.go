package kafka_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/broker"
)

var payload200 = strings.Repeat("x", 200)

func messages(n int) []*message.Message {
	all := make([]*message.Message, n)
	for i := range all {
		all[i] = newMessage(watermill.NewULID(), payload200)
	}
	return all
}

// Both run on a real broker.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			k := newKit(b, broker.KafkaURL(b))
			records := on(k.topic, messages(size)...)
			k.must(errors.Join(k.d.Publish(b.Context(), records)...))
			b.ReportAllocs()
			for b.Loop() {
				if err := errors.Join(k.d.Publish(b.Context(), records)...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkRead reads a topic again and again; an operation is a record.
func BenchmarkRead(b *testing.B) {
	const held = 100_000
	k := newKit(b, broker.KafkaURL(b))
	for range held / 1000 {
		k.publish(messages(1000)...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		f := k.follow(beginning)
		for read := 0; read < held && n < b.N; {
			batch, err := f.Read(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			read, n = read+len(batch), n+len(batch)
		}
		_ = f.Close()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkFeedsAtRest measures the memory and goroutines of a feed that waits.
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
