package redisstream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

var payload200 = []byte(strings.Repeat("x", 200))

func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			k := newKit(b)
			var msgs []*message.Message
			for range size {
				msgs = append(msgs, message.NewMessage(watermill.NewULID(), payload200))
			}
			records := on("t", msgs...)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := errors.Join(k.d.Publish(b.Context(), records)...); err != nil {
					b.Fatal(err)
				}
				if i%64 == 0 {
					b.StopTimer()
					k.trim(0)
					b.StartTimer()
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
	for range held / 1000 {
		var msgs []*message.Message
		for range 1000 {
			msgs = append(msgs, message.NewMessage(watermill.NewULID(), payload200))
		}
		k.publish(msgs...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		f := k.follow(domain.Position(make([]byte, 16)))
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
