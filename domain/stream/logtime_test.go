package stream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

func TestStreamThatBeginsInThePastIsReadyAtTheTail(t *testing.T) {
	s := newFixture(t, stream.Config{HasLog: true})
	s.startUntil(logA, pos(0), time.Time{}, pos(3))
	early, back := s.attach("user:alice"), s.attachAt("user:alice", s.cursorAt(1))
	s.deliver(1, "a", "user:alice")
	s.deliver(2, "b", "user:alice")
	select {
	case <-s.Ready():
		t.Fatal("ready before the tail")
	default:
	}
	early.got(t)
	s.poison(pos(3), time.Time{})
	<-s.Ready()
	s.deliver(4, "c", "user:alice")
	early.got(t, "gap lossy 3", "4 user:alice c")
	back.got(t, "2 user:alice b", "4 user:alice c")
}

func TestRepetitionBeyondTheAgeIsReplayedAsItWasDelivered(t *testing.T) {
	now := time.Now()
	s := withPast(t, stream.Config{Messages: 2, DedupeAge: time.Minute, Now: func() time.Time { return now }})
	live := s.attach("user:alice")
	put := func(at int, id, data string) {
		when := now
		s.log = append(s.log, logEntry{at, func() *domain.Message { return message(id, data, "user:alice") }})
		s.times = append(s.times, when)
		s.record(pos(at), when, message(id, data, "user:alice"))
	}
	put(1, "alarm", "on")
	now = now.Add(10 * time.Minute)
	put(2, "alarm", "on")
	for i := 3; i < 6; i++ {
		put(i, fmt.Sprint(i), "x")
	}
	back := s.attachAt("user:alice", s.cursorAt(0))
	s.serve()
	back.got(t, live.frames...)
}

func TestRepetitionIsToldByTheLogsTimeWhenAStreamBeginsInThePast(t *testing.T) {
	now := time.Now()
	f := newFixture(t, stream.Config{HasLog: true, DedupeAge: 2 * time.Minute, Now: func() time.Time { return now }})
	f.startUntil(logA, pos(0), now, pos(2))
	f.record(pos(1), now.Add(-9*time.Minute), message("alarm", "on", "user:alice"))
	f.record(pos(2), now.Add(-time.Minute), message("alarm", "on", "user:alice"))
	f.attachAt("user:alice", f.cursorAt(1)).got(t, "2 user:alice on")
}

func TestCursorAheadIsBelievedFromWhenTheBusConfirms(t *testing.T) {
	now := time.Now()
	f := newFixture(t, stream.Config{HasLog: true, AheadWait: time.Second, Now: func() time.Time { return now }})
	s := f.hold("user:alice", f.cursorAt(5))
	now = now.Add(time.Minute)
	f.start(logA, pos(3), now)
	s.Fill()
	for i := 4; i <= 6; i++ {
		f.deliver(i, fmt.Sprint(i), "user:alice")
	}
	s.got(t, "6 user:alice 6")
}

func TestForgedTimeDoesNotMakeANodeReadTheWholeLog(t *testing.T) {
	s := withPast(t, stream.Config{MaxScan: 10})
	for i := range 10 {
		s.deliver(i+1, fmt.Sprint(i+1), "user:alice")
	}
	c := s.cursorAt(6)
	c.Time = time.Unix(0, 0)
	alice := s.attachAt("user:alice", c)
	b, _ := s.NextBackfill()
	n := 0
	for n < 100_000 && b.Add([]domain.Entry{{Position: pos(1)}}, []*domain.Message{message("id", "x", "user:bob")}) {
		n++
	}
	if n > 10 {
		t.Errorf("%d entries were looked at", n)
	}
	s.EndTurn(b)
	s.serve() // without looking back
	alice.gotData(t, "7", "8", "9", "10")
}
