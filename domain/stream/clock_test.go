package stream_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// Times that a log may have beside good ones: wrong clocks, and what is no time.
func wrongTimes(now time.Time) map[string]time.Time {
	return map[string]time.Time{
		"none": {}, "Kafka's none": time.UnixMilli(-1), "1970": time.UnixMilli(0), "a little later": time.UnixMilli(1),
		"before all time": time.UnixMilli(math.MinInt64), "an hour ago": now.Add(-time.Hour), "in an hour": now.Add(time.Hour),
		"9999": time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), "after all time": time.UnixMilli(math.MaxInt64),
	}
}

// However wrong a log's clock is, or was once: a message comes once in the time
// of dedupe, and after it comes again.
func TestRepetitionIsToldThoughTheLogsClockIsWrong(t *testing.T) {
	start := time.Now()
	for name, wrong := range wrongTimes(start) {
		for always := range 2 { // the log's clock stays wrong, or is right again
			now := start
			f := begun(t, stream.Config{HasLog: true, DedupeAge: 2 * time.Second, Now: func() time.Time { return now }})
			alice := f.attach("user:alice")
			at := 0
			put := func(id string, t time.Time) {
				at++
				f.record(pos(at), t, message(id, "x", "user:alice"))
			}
			put("foreign", wrong)
			var want []string
			for range 5 {
				logged := now
				if always == 1 {
					logged = wrong
				}
				want = append(want, fmt.Sprint(at+1))
				put("alarm", logged)
				put("alarm", logged) // dropped
				now = now.Add(time.Second)
				put("alarm", logged.Add(time.Second)) // dropped
				now = now.Add(1100 * time.Millisecond)
				if always == 0 {
					logged = now
				}
				put(fmt.Sprint("other", at), logged)
			}
			var got []string
			for _, frame := range alice.frames {
				var position, to, data string
				fmt.Sscan(frame, &position, &to, &data)
				got = append(got, position)
			}
			for _, position := range want {
				if !contains(got, position) {
					t.Errorf("%s, always %d: an alarm came not again after the time of dedupe: %v of %v", name, always, got, want)
					break
				}
			}
			if len(got) != 1+2*len(want) {
				t.Errorf("%s, always %d: %d frames, want %d: a repetition passed, or a message did not: %v", name, always, len(got), 1+2*len(want), got)
			}
		}
	}
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}

// Whatever times a log has, now and then: what repeats nothing for as long as
// dedupe remembers comes, and what repeats a message at once does not.
func TestNoClockMakesMessagesVanish(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Now()
		const age = 10 * time.Second
		f := begun(silent{}, stream.Config{HasLog: true, DedupeAge: age, Now: func() time.Time { return now }})
		s := f.attach("user:alice")
		type sighting struct{ heard, logged time.Time }
		seen := make(map[string]sighting) // when an id came last
		for at := 1; at <= 60; at++ {
			now = now.Add(time.Duration(rapid.IntRange(0, 15_000).Draw(t, "pause")) * time.Millisecond)
			logged := now
			if rapid.Bool().Draw(t, "wrong") {
				logged = rapid.OneOf(
					rapid.Map(rapid.Int64Range(-7200, 7200), func(s int64) time.Time { return now.Add(time.Duration(s) * time.Second) }),
					rapid.Map(rapid.Int64(), time.UnixMilli)).Draw(t, "logged")
			}
			id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id")
			had := len(s.frames)
			f.record(pos(at), logged, message(id, "x", "user:alice"))
			last, known := seen[id]
			came := len(s.frames) > had
			switch elapsed := now.Sub(last.heard); {
			case !known && !came:
				t.Fatalf("%q did not come at all", id)
			case known && elapsed == 0 && logged.Equal(last.logged) && came:
				t.Fatalf("%q came twice at once", id)
			case known && elapsed > age && !came && logged.Equal(now):
				t.Fatalf("%q did not come %v after it came last", id, elapsed)
			}
			if came {
				seen[id] = sighting{now, logged}
			}
		}
	})
}

// A ttl ends by the node's clock at the latest, counted from when it heard the
// message, though the log's is ahead.
func TestTTLOfAMessageFromTheFuture(t *testing.T) {
	now := time.Now()
	f := begun(t, stream.Config{HasLog: true, Now: func() time.Time { return now }})
	for i, at := range []time.Time{now.Add(time.Hour), time.UnixMilli(-1), now} {
		m := message(fmt.Sprint(i), "x", "user:alice")
		m.TTL = 30 * time.Second
		f.record(pos(i+1), at, m)
	}
	soon := f.attachAt("user:alice", f.cursorAt(0))
	now = now.Add(time.Minute)
	late := f.attachAt("user:alice", f.cursorAt(0))
	if len(soon.frames) != 3 || len(late.frames) != 0 {
		t.Errorf("at once %v, after a minute %v; want all and none", soon.frames, late.frames)
	}
}

// Whatever time is in a client's cursor, the log is asked for one that it can
// have, and the client goes on.
func TestTimesInCursorsAreBounded(t *testing.T) {
	for name, wrong := range wrongTimes(time.Now()) {
		s := withPast(t, stream.Config{})
		for i := range 10 {
			s.deliver(i+1, fmt.Sprint(i+1), "user:alice")
		}
		c := s.cursorAt(5)
		c.Time = wrong
		alice := s.attachAt("user:alice", c)
		foreign := c
		foreign.Log = 0xC
		s.attachAt("user:alice", foreign)
		if b, ok := s.NextBackfill(); !ok || !b.From.IsZero() && b.From.Unix() < 0 || b.From.Year() > 9999 {
			t.Errorf("%s: the log is read from %v", name, b.From)
		} else {
			s.end(b, s.read(b))
		}
		alice.gotData(t, "6", "7", "8", "9", "10")
		l, _ := s.NextLookup()
		s.Surveyed(l, []domain.LogID{0xC}, true)
		if l, ok := s.NextLookup(); !ok || !l.From().IsZero() && l.From().Unix() < 0 || l.From().Year() > 9999 {
			t.Errorf("%s: looked up from %v", name, l.From())
		}
	}
}

// A node's own clock may be set back by a lot; ids are not remembered until it
// is there again.
func TestClockThatIsSetBack(t *testing.T) {
	now := time.Now().Round(0)
	f := begun(t, stream.Config{HasLog: true, DedupeAge: 2 * time.Second, Now: func() time.Time { return now }})
	alice := f.attach("user:alice")
	f.record(pos(1), now, message("alarm", "x", "user:alice"))
	now = now.Add(-time.Hour)
	f.record(pos(2), now, message("other", "x", "user:alice"))
	now = now.Add(3 * time.Second)
	f.record(pos(3), now, message("alarm", "x", "user:alice"))
	alice.got(t, "1 user:alice x", "2 user:alice x", "3 user:alice x")
}
