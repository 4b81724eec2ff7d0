package driverkit

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// Payload is what the benchmarks publish: 200 bytes.
var Payload = strings.Repeat("x", 200)

// RawPayloads returns n messages without framing.
func RawPayloads(n int) []*message.Message {
	msgs := make([]*message.Message, n)
	for i := range msgs {
		msgs[i] = Raw(Payload)
	}
	return msgs
}

// FramedPayloads returns n messages with ids.
func FramedPayloads(n int) []*message.Message {
	msgs := make([]*message.Message, n)
	for i := range msgs {
		msgs[i] = message.NewMessage(watermill.NewULID(), []byte(Payload))
	}
	return msgs
}

// A PublishBenchmark is what [BenchmarkPublish] measures.
type PublishBenchmark struct {
	Driver   transport.Driver
	Topic    string
	Messages func(n int) []*message.Message
	After    func(i int) // called after the i-th publish, if set; it may stop the timer
}

// BenchmarkPublish publishes 1, 64 and 256 messages at once. An operation is one
// call of Publish.
func BenchmarkPublish(b *testing.B, setUp func(b *testing.B) PublishBenchmark) {
	for _, size := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := setUp(b)
			records := Outgoing(s.Topic, s.Messages(size)...)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := errors.Join(s.Driver.Publish(b.Context(), records)...); err != nil {
					b.Fatal(err)
				}
				if s.After != nil {
					s.After(i)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// LogLength is how many entries the log must have that [BenchmarkReadLog] reads.
const LogLength = 100_000

// BenchmarkReadLog reads a log of LogLength entries again and again. Follow must
// return a feed that starts at the log's beginning. An operation is an entry.
func BenchmarkReadLog(b *testing.B, follow func() transport.Feed) {
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		f := follow()
		for read := 0; read < LogLength && n < b.N; {
			batch, err := f.Read(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			read, n = read+len(batch), n+len(batch)
		}
		_ = f.Close()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkPublishAndRead publishes 256 messages at a time and reads them, on a
// bus that keeps no log. An operation is an entry, and includes its publishing.
func BenchmarkPublishAndRead(b *testing.B, d transport.Driver, topic string) {
	f := Follow(b, d, topic, "")
	records := Outgoing(topic, RawPayloads(256)...)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += len(records) {
		if err := errors.Join(d.Publish(b.Context(), records)...); err != nil {
			b.Fatal(err)
		}
		Read(b, f, len(records))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
