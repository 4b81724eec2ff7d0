package natscore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/test/broker"
)

func pipeline(size int) []*message.Message {
	msgs := make([]*message.Message, size)
	for i := range msgs {
		msgs[i] = raw(strings.Repeat("x", 200))
	}
	return msgs
}

func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			d := open(b, broker.NATS(b).URL("nats"))
			records := on("t", pipeline(size)...)
			b.ReportAllocs()
			for b.Loop() {
				if err := errors.Join(d.Publish(b.Context(), records)...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkRead publishes 256 at a time and reads them; an operation is an
// entry. Publishing is a part of what it measures.
func BenchmarkRead(b *testing.B) {
	d := open(b, broker.NATS(b).URL("nats"))
	f := follow(b, d, "t")
	records := on("t", pipeline(256)...)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += len(records) {
		if err := errors.Join(d.Publish(b.Context(), records)...); err != nil {
			b.Fatal(err)
		}
		read(b, f, len(records))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
