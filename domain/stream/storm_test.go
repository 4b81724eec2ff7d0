package stream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// comingBack is a stream whose window has ten messages for each of so many
// users.
func comingBack(t testing.TB, users int) (s *fixture, targets []domain.Target) {
	s = begun(t, stream.Config{HasLog: true, Messages: 10 * users, Budget: stream.NewBudget(1 << 30), Backlog: stream.NewBudget(1 << 30)})
	targets = make([]domain.Target, users)
	for i := range targets {
		targets[i] = target(fmt.Sprint("user:u", i))
	}
	for i := range 10 * users {
		m := &domain.Message{ID: fmt.Sprint("id-", i+1), To: targets[i%users : i%users+1]}
		if err := m.SetData(domain.Text, []byte("0123456789")); err != nil {
			t.Fatal(err)
		}
		s.record(pos(i+1), time.Time{}, m)
	}
	return s, targets
}

func TestStormOfReconnectsCostsNoReadOfTheLog(t *testing.T) {
	s, targets := comingBack(t, 10_000)
	before := s.Stats()
	since := s.cursorAt(0)
	for _, to := range targets {
		out := &sink{}
		a, _, resumed := s.Attach(stream.Asker{}, out, copier{}, since, to)
		if live := a.Fill(); !resumed || !live || out.frames != 10 {
			t.Fatalf("%s: resumed %v, live %v, got %d", to, resumed, live, out.frames)
		}
	}
	if b, wanted := s.NextBackfill(); wanted {
		t.Errorf("it wants to read %+v", b)
	}
	after := s.Stats()
	if after.Resumed != 10_000 || after.Backfills != 0 || after.Scanned != 0 || after.Replaying != 0 || len(after.GapsTold) != 0 {
		t.Errorf("it counted %+v", after)
	}
	if after.Offered-before.Offered != 100_000 {
		t.Errorf("%d frames were offered", after.Offered-before.Offered)
	}
	if after.Bytes != before.Bytes {
		t.Errorf("the window grew by %d bytes: the next message would trim it", after.Bytes-before.Bytes)
	}
}

// BenchmarkResume is a session that comes back and has missed ten messages, in
// windows of different lengths: they must not matter.
func BenchmarkResume(b *testing.B) {
	for _, users := range []int{100, 10_000} {
		b.Run(fmt.Sprint(10*users, " in the window"), func(b *testing.B) {
			s, targets := comingBack(b, users)
			since := s.cursorAt(0)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				out := &sink{}
				a, _, _ := s.Attach(stream.Asker{}, out, copier{}, since, targets[i%users])
				if !a.Fill() || out.frames != 10 {
					b.Fatalf("got %d frames, want 10", out.frames)
				}
				a.Detach()
			}
		})
	}
}

// BenchmarkStorm is 10,000 sessions that come back at once to a window of
// 100,000, and each has missed ten.
func BenchmarkStorm(b *testing.B) {
	s, targets := comingBack(b, 10_000)
	since := s.cursorAt(0)
	attached := make([]*stream.Attachment, len(targets))
	b.ReportAllocs()
	for b.Loop() {
		for i, to := range targets {
			out := &sink{}
			attached[i], _, _ = s.Attach(stream.Asker{}, out, copier{}, since, to)
			if !attached[i].Fill() || out.frames != 10 {
				b.Fatalf("got %d frames, want 10", out.frames)
			}
		}
		b.StopTimer()
		for _, a := range attached {
			a.Detach()
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(targets)), "ns/resume")
	if n := s.Stats().Backfills; n != 0 {
		b.Errorf("the log was read %d times", n)
	}
}

// BenchmarkStormOfARoom is 10,000 sessions that come back at once to one room,
// in which each has missed a hundred messages.
func BenchmarkStormOfARoom(b *testing.B) {
	const sessions, missed = 10_000, 100
	s := begun(b, stream.Config{HasLog: true})
	lobby := []domain.Target{target("room:lobby")}
	for i := range missed {
		s.record(pos(i+1), time.Time{}, checked(fmt.Sprint(i), lobby))
	}
	b.ReportAllocs()
	for b.Loop() {
		for range sessions {
			out := &sink{}
			a, _, _ := s.Attach(stream.Asker{}, out, copier{}, s.cursorAt(0), lobby...)
			if !a.Fill() || out.frames != missed {
				b.Fatalf("got %d frames, want %d", out.frames, missed)
			}
			a.Detach()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*sessions), "ns/resume")
}
