package memory_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

func TestFollowSinceBeginsWithTheFirstThatIsNotOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.New(memory.Config{Retention: time.Hour})
		d := bus.Driver().(transport.LogDriver)
		start := time.Now()
		for _, id := range []string{"a", "b", "c"} { // at 0, 10 and 20 minutes
			publish(t, bus, message.NewMessage(id, nil))
			time.Sleep(10 * time.Minute)
		}
		for _, tc := range []struct {
			since time.Duration
			begin uint64
			want  []string
		}{
			{-time.Hour, 0, []string{"a", "b", "c"}},
			{0, 0, []string{"a", "b", "c"}},
			{time.Second, 1, []string{"b", "c"}},
			{20 * time.Minute, 2, []string{"c"}},
			{21 * time.Minute, 3, []string{"later"}},
			{24 * time.Hour, 3, []string{"later"}},
		} {
			feed, err := d.FollowSince(t.Context(), topic, start.Add(tc.since))
			if err != nil {
				t.Fatal(err)
			}
			if feed.Begin() != position(tc.begin) {
				t.Errorf("since %v: begins at %x, want %d", tc.since, feed.Begin(), tc.begin)
			}
			if tc.want[0] == "later" {
				publish(t, bus, message.NewMessage("later", nil))
			}
			if got := uuids(read(t, feed)); !slices.Equal(got, tc.want) {
				t.Errorf("since %v: %v, want %v", tc.since, got, tc.want)
			}
			if tc.want[0] == "later" {
				break
			}
		}
		time.Sleep(55 * time.Minute) // a, b and c are too old
		feed, err := d.FollowSince(t.Context(), topic, start)
		if err != nil {
			t.Fatal(err)
		}
		if got := uuids(read(t, feed)); !slices.Equal(got, []string{"later"}) {
			t.Errorf("after retention: %v", got)
		}
	})
}

func TestTailIsThePositionOfTheLast(t *testing.T) {
	bus := memory.New(memory.Config{Messages: 2})
	d := bus.Driver().(transport.LogDriver)
	for n := range 5 {
		if at, err := d.Tail(t.Context(), topic); err != nil || at != position(uint64(n)) {
			t.Errorf("after %d messages: %x, %v", n, at, err)
		}
		publish(t, bus, message.NewMessage("", nil))
	}
	if err := bus.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Tail(t.Context(), topic); !errors.Is(err, domain.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := d.FollowSince(t.Context(), topic, time.Time{}); !errors.Is(err, domain.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
