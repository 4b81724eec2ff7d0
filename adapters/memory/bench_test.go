package memory_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

func BenchmarkPublish(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			bus := open(b)
			b.ReportAllocs()
			var all sync.WaitGroup
			for caller := range callers {
				all.Go(func() {
					m := message.NewMessage("01JD0000000000000000000000", make([]byte, 200))
					for i := caller; i < b.N; i += callers {
						if err := bus.Publish(topic, m); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}

func BenchmarkPublish256AtOnce(b *testing.B) {
	bus := open(b)
	b.ReportAllocs()
	for done := 0; done < b.N; done += 256 {
		if err := bus.Publish(topic, payloads[:min(256, b.N-done)]...); err != nil {
			b.Fatal(err)
		}
	}
}

// The consumers read a log that is there already; the next one is written with
// the clock stopped.
func BenchmarkConsume(b *testing.B) {
	for name, face := range map[string]func(*transport.Transport) message.Subscriber{
		"one by one": func(t *transport.Transport) message.Subscriber { return t },
		"batches":    func(t *transport.Transport) message.Subscriber { return t.Batches() },
	} {
		b.Run(name, func(b *testing.B) {
			bus := open(b)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			in, err := face(bus).Subscribe(ctx, topic)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			const round = 50_000
			for done := 0; done < b.N; {
				b.StopTimer()
				n := min(round, b.N-done)
				for at := 0; at < n; at += 256 {
					if err := bus.Publish(topic, payloads[:min(256, n-at)]...); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				consume(in, n)
				done += n
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// Publishing and consuming at once, which is what a node does.
func BenchmarkThrough(b *testing.B) {
	for name, face := range map[string]func(*transport.Transport) message.Subscriber{
		"one by one": func(t *transport.Transport) message.Subscriber { return t },
		"batches":    func(t *transport.Transport) message.Subscriber { return t.Batches() },
	} {
		b.Run(name, func(b *testing.B) {
			bus := open(b)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			in, err := face(bus).Subscribe(ctx, topic)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			const round = 50_000 // in flight at most: less than the log keeps
			for done := 0; done < b.N; done += round {
				n := min(round, b.N-done)
				go func() {
					for at := 0; at < n; at += 256 {
						if err := bus.Publish(topic, payloads[:min(256, n-at)]...); err != nil {
							b.Error(err)
						}
					}
				}()
				consume(in, n)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

var payloads = func() []*message.Message {
	all := make([]*message.Message, 256)
	for i := range all {
		all[i] = message.NewMessage("01JD0000000000000000000000", make([]byte, 200))
	}
	return all
}()

func open(b *testing.B) *transport.Transport {
	bus := transport.New(memory.New(memory.Config{}), transport.Config{})
	b.Cleanup(func() {
		if err := bus.Close(); err != nil {
			b.Error(err)
		}
	})
	return bus
}

// consume acks until n records have come.
func consume(in <-chan *message.Message, n int) {
	for n > 0 {
		m := <-in
		batch, ok := domain.EntriesFrom(m.Context())
		switch {
		case !ok:
			n--
		case batch[0].Kind == domain.Record:
			n -= len(batch)
		}
		m.Ack()
	}
}
