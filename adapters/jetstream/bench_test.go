package jetstream_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func BenchmarkPublish(b *testing.B) {
	driverkit.BenchmarkPublish(b, func(b *testing.B) driverkit.PublishBenchmark {
		k := newKit(b)
		return driverkit.PublishBenchmark{
			Driver: open(b, k.URL("jetstream")+"?storage=memory&max_bytes=100000000"),
			Topic:  "t", Messages: driverkit.RawPayloads,
		}
	})
}

func BenchmarkRead(b *testing.B) {
	k := newKit(b)
	k.d = open(b, k.URL("jetstream")+"?storage=memory")
	for range driverkit.LogLength / 1000 {
		k.publish(driverkit.RawPayloads(1000)...)
	}
	driverkit.BenchmarkReadLog(b, func() transport.Feed { return k.follow(at(0)) })
}
