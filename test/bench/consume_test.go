// Package bench measures paths that cross several packages.
package bench_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"log/slog"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/redisstream"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/router"
	"github.com/fanfarebus/fanfare/test/broker"
)

// entries are consumed in each round.
const entries = 200_000

// BenchmarkConsume reads a log of envelopes with 128 bytes of data through the
// Watermill Router into a stream. Each is decoded, deduplicated and put into the
// window. Its users have no sessions on the node.
func BenchmarkConsume(b *testing.B) {
	b.Run("memory", func(b *testing.B) {
		consume(b, memory.New(memory.Config{Messages: 2 * entries, Bytes: 1 << 30}))
	})
	b.Run("redis-streams", func(b *testing.B) {
		u, err := url.Parse(broker.Redis(b).URL("redis-streams"))
		if err != nil {
			b.Fatal(err)
		}
		d, err := redisstream.Open(b.Context(), u, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		consume(b, d)
	})
}

func consume(b *testing.B, d transport.Driver) {
	bus := transport.New(d, transport.Config{PublishTimeout: 30 * time.Second})
	defer bus.Close()
	fill(b, bus)
	system, err := domain.ParseSystem("orders")
	if err != nil {
		b.Fatal(err)
	}
	topics, err := domain.ParseTopics("{system}")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		r, err := router.New(bus.BatchesSince(time.Hour), topics, router.Config{})
		if err != nil {
			b.Fatal(err)
		}
		s := stream.New(system, stream.Config{HasLog: true})
		if err := r.Open(s); err != nil {
			b.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		<-s.Ready() // at the tail
		if n := s.Stats().Delivered; n != entries {
			b.Fatalf("%d of %d were delivered", n, entries)
		}
		cancel()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(entries*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func fill(b *testing.B, bus *transport.Transport) {
	note := strings.Repeat("x", 110)
	for at := 0; at < entries; at += 1000 {
		all := make([]*message.Message, 1000)
		for i := range all {
			id := fmt.Sprintf("01JAAAAAAAAAAAAAAAAA%06d", at+i)
			all[i] = message.NewMessage(id, fmt.Appendf(nil, `{"to":"user:u%d","id":"%s","data":{"n":%d,"note":"%s"}}`, i%500, id, at+i, note))
			all[i].Metadata.Set(transport.RawKey, "1")
		}
		if err := bus.Publish("orders", all...); err != nil {
			b.Fatal(err)
		}
	}
}
