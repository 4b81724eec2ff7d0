package stream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain/stream"
)

func TestTheNewestSinceATime(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := newFixture(t, stream.Config{HasLog: true, Backlog: stream.NewBudget(1 << 20), Now: func() time.Time { return now }})
	if got := f.NewestSince(now); !got.At.IsZero() {
		t.Errorf("before the bus has confirmed: %+v", got)
	}
	f.start(logA, pos(0), now.Add(-time.Minute))
	for i := 1; i <= 9; i++ {
		f.record(pos(i), now.Add(time.Duration(i)*time.Second), message(fmt.Sprint(i), "x", "*"))
	}
	for _, c := range []struct {
		since time.Duration
		want  string
		whole bool
	}{
		{10 * time.Second, "9", true},
		{9 * time.Second, "8", true},
		{1500 * time.Millisecond, "1", true},
		{-59 * time.Second, "0", true},
		{-time.Minute, "0", false},
		{-time.Hour, "0", false},
	} {
		got := f.NewestSince(now.Add(c.since))
		if placeName(got.At) != c.want || got.Whole != c.whole || got.Older.IsZero() == !c.whole {
			t.Errorf("since %v: %+v, want %s %v", c.since, got, c.want, c.whole)
		}
	}
}
