package jetstream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
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
			k := newKit(b)
			k.d = open(b, k.URL("jetstream")+"?storage=memory&max_bytes=100000000")
			records := on("t", pipeline(size)...)
			b.ReportAllocs()
			for b.Loop() {
				if err := errors.Join(k.d.Publish(b.Context(), records)...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkRead reads a full stream again and again; an operation is an entry.
func BenchmarkRead(b *testing.B) {
	const held = 100_000
	k := newKit(b)
	k.d = open(b, k.URL("jetstream")+"?storage=memory")
	for range held / 1000 {
		k.publish(pipeline(1000)...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		f := k.follow(at(0))
		for read := 0; read < held && n < b.N; {
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
