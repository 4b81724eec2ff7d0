package redisstream_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func BenchmarkPublish(b *testing.B) {
	driverkit.BenchmarkPublish(b, func(b *testing.B) driverkit.PublishBenchmark {
		k := newKit(b)
		return driverkit.PublishBenchmark{
			Driver: k.d, Topic: "t", Messages: driverkit.FramedPayloads,
			After: func(i int) {
				if i%64 == 0 {
					b.StopTimer()
					k.trim(0)
					b.StartTimer()
				}
			},
		}
	})
}

func BenchmarkRead(b *testing.B) {
	k := newKit(b)
	for range driverkit.LogLength / 1000 {
		k.publish(driverkit.FramedPayloads(1000)...)
	}
	driverkit.BenchmarkReadLog(b, func() transport.Feed { return k.follow(domain.Position(make([]byte, 16))) })
}
