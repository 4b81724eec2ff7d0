package stream_test

import (
	"fmt"
	"testing"

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
			data := make([]byte, 128)
			b.ReportAllocs()
			var e domain.Entry // the router's: it gives entries of a batch
			i := 0
			for b.Loop() {
				i++
				e.Position = pos(i)
				s.Step(&e, &domain.Message{
					ID: fmt.Sprint(i), To: targets[i%2000 : i%2000+1], Data: data, ContentType: domain.JSON})
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
			data, everyone := make([]byte, 128), []domain.Target{domain.Everyone}
			b.ReportAllocs()
			var e domain.Entry // the router's: it gives entries of a batch
			i := 0
			for b.Loop() {
				i++
				e.Position = pos(i)
				s.Step(&e, &domain.Message{ID: fmt.Sprint(i), To: everyone, Data: data, ContentType: domain.JSON})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*sessions), "ns/delivery")
		})
	}
}
