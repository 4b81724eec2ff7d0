package stream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A sink is a session that takes everything and forgets it.
type sink struct{ frames int }

func (s *sink) Offer(stream.Frame) bool { s.frames++; return true }

// A copier encodes by copying the data.
type copier struct{}

func (copier) Message(_ domain.System, m *domain.Message, _ domain.Target, _ domain.Cursor) stream.Frame {
	return stream.Frame{Bytes: append(make([]byte, 0, len(m.Data)), m.Data...)}
}

func (copier) Gap(domain.System, domain.GapReason, domain.Cursor) stream.Frame {
	return stream.Frame{Bytes: []byte("gap")}
}

// checked returns a message whose data are known to be JSON, as those of decoded
// messages are.
func checked(id string, to []domain.Target) *domain.Message {
	m := new(domain.Message)
	*m = someJSON
	m.ID, m.To = id, to
	return m
}

var someJSON = func() (m domain.Message) {
	if err := m.SetData(domain.JSON, fmt.Appendf(nil, `{"text":"%0117d"}`, 0)); err != nil {
		panic(err)
	}
	return m
}()

// BenchmarkFill is a session that has missed 100,000 messages to a room, and
// whose outbox holds 128: what was missed must not be walked through each time.
func BenchmarkFill(b *testing.B) {
	const missed, room = 100_000, 128
	s := begun(b, stream.Config{Messages: missed, Budget: stream.NewBudget(1 << 30)})
	to := []domain.Target{target("room:lobby")}
	for i := range missed {
		s.record(pos(i+1), time.Time{}, checked(fmt.Sprint(i), to))
	}
	b.ReportAllocs()
	for b.Loop() {
		out := &gate{}
		a, _, _ := s.Attach(stream.Asker{}, out, copier{}, s.cursorAt(0), target("user:alice"), to[0])
		for live := false; !live; out.room = room {
			live = a.Fill()
		}
		if out.frames != missed {
			b.Fatalf("got %d frames, want %d", out.frames, missed)
		}
		a.Detach()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*missed), "ns/message")
}

// A gate is a sink with an outbox that is full now and then.
type gate struct {
	sink
	room int
}

func (g *gate) Offer(f stream.Frame) bool {
	if g.room == 0 {
		return false
	}
	g.room--
	return g.sink.Offer(f)
}

func BenchmarkDispatchUnicast(b *testing.B) {
	for _, sessions := range []int{0, 2000} {
		b.Run(fmt.Sprint(sessions, " sessions"), func(b *testing.B) {
			s := begun(b, stream.Config{})
			targets := make([]domain.Target, 2000)
			for i := range targets {
				targets[i] = target(fmt.Sprint("user:u", i))
				if i < sessions {
					a, _, _ := s.Attach(stream.Asker{}, &sink{}, copier{}, domain.Cursor{}, targets[i])
					a.Fill()
				}
			}
			b.ReportAllocs()
			var e domain.Entry // the router's: it gives entries of a batch
			i := 0
			for b.Loop() {
				i++
				e.Position = pos(i)
				s.Step(&e, checked(fmt.Sprint(i), targets[i%2000:i%2000+1]))
			}
		})
	}
}

func BenchmarkDispatchFanOut(b *testing.B) {
	for _, sessions := range []int{100, 2000} {
		b.Run(fmt.Sprint(sessions, " sessions"), func(b *testing.B) {
			s := begun(b, stream.Config{})
			for i := range sessions {
				a, _, _ := s.Attach(stream.Asker{}, &sink{}, copier{}, domain.Cursor{}, target(fmt.Sprint("user:u", i)))
				a.Fill()
			}
			everyone := []domain.Target{domain.Everyone}
			b.ReportAllocs()
			var e domain.Entry // the router's: it gives entries of a batch
			i := 0
			for b.Loop() {
				i++
				e.Position = pos(i)
				s.Step(&e, checked(fmt.Sprint(i), everyone))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*sessions), "ns/delivery")
		})
	}
}
