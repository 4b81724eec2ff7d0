package bench_test

import (
	"context"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/router"
)

// BenchmarkBackfill reads a log of envelopes again, from its beginning to the
// window, for a session that none of them is for. With one that listens to a
// user in five hundred, one message in so many is offered.
func BenchmarkBackfill(b *testing.B) {
	for name, listens := range map[string]string{"for nobody": "user:away", "for a user": "user:u7"} {
		b.Run(name, func(b *testing.B) { backfill(b, listens) })
	}
}

func backfill(b *testing.B, listens string) {
	bus := transport.New(memory.New(memory.Config{Messages: 2 * entries, Bytes: 1 << 30}), transport.Config{})
	defer bus.Close()
	fill(b, bus)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	s := readBy(b, ctx, bus)
	to, err := domain.ParseTarget(listens)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		since := domain.Cursor{Log: s.log, Position: "\x00\x00\x00\x00\x00\x00\x00\x01"}
		a, _, _ := s.Attach(stream.Asker{}, roomy{}, copying{}, since, to)
		a.Fill()
		for _, live := a.Cursor(); !live; _, live = a.Cursor() {
			time.Sleep(100 * time.Microsecond)
		}
		a.Detach()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/entries, "ns/entry")
}

// A known stream knows its log.
type known struct {
	*stream.Stream
	log domain.LogID
}

// readBy returns a stream with a short window that has read the bus to its tail.
func readBy(b *testing.B, ctx context.Context, bus *transport.Transport) known {
	system, err := domain.ParseSystem("orders")
	if err != nil {
		b.Fatal(err)
	}
	topics, err := domain.ParseTopics("{system}")
	if err != nil {
		b.Fatal(err)
	}
	r, err := router.New(bus.BatchesSince(time.Hour), topics, router.Config{Replayer: bus})
	if err != nil {
		b.Fatal(err)
	}
	s := stream.New(system, stream.Config{HasLog: true, Messages: 10, MaxScan: 2 * entries, Backlog: stream.NewBudget(8 << 30)})
	if err := r.Open(s); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	b.Cleanup(func() { <-ended })
	<-s.Ready()
	probe, at, _ := s.Attach(stream.Asker{}, roomy{}, copying{}, domain.Cursor{})
	probe.Detach()
	return known{s, at.Log}
}

// roomy is an Outbox that has room.
type roomy struct{}

func (roomy) Offer(stream.Frame) bool { return true }

// copying encodes a message as its data.
type copying struct{}

func (copying) Message(_ domain.System, m *domain.Message, _ domain.Target, _ domain.Cursor) stream.Frame {
	return stream.Frame{Bytes: m.Data}
}

func (copying) Gap(_ domain.System, reason domain.GapReason, _ domain.Cursor) stream.Frame {
	panic("a gap: " + reason)
}
