package natscore_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func BenchmarkPublish(b *testing.B) {
	driverkit.BenchmarkPublish(b, func(b *testing.B) driverkit.PublishBenchmark {
		return driverkit.PublishBenchmark{
			Driver: open(b, broker.NATS(b).URL("nats")), Topic: "t", Messages: driverkit.RawPayloads,
		}
	})
}

func BenchmarkRead(b *testing.B) {
	driverkit.BenchmarkPublishAndRead(b, open(b, broker.NATS(b).URL("nats")), "t")
}
