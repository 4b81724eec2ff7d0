package transport_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

const oldLog = domain.LogID(0xA)

// copied makes entry n of the log a copy of the old log's entry at, before which
// after was copied; zero: nothing was.
func copied(l *fakeLog, n, at, after int, more ...domain.Field) {
	o := provenance.Origin{Locations: []domain.Location{{Log: oldLog, Position: position(at)}}, Time: second(n)}
	if after > 0 {
		o.After = position(after)
	}
	l.entries[n-1].Header = append([]domain.Field{{Name: "fanfare.origin", Value: o.String()}}, more...)
}

func TestLocate(t *testing.T) {
	l := newLog(8)
	// Of the old log 10, 12, 13, 15 and 16 were copied. There was nothing at 11, and
	// what was at 14 is lost. What was at 16 was not fit for this log: a gap stands
	// for it. 7 was published here, and 8 is 13 once more.
	copied(l, 1, 10, 0)
	copied(l, 2, 12, 10)
	copied(l, 3, 13, 12)
	copied(l, 4, 15, 14)
	copied(l, 5, 16, 15, domain.Field{Name: "fanfare.move", Value: "gap"})
	copied(l, 6, 17, 16)
	copied(l, 8, 13, 12)
	bus := transport.New(l, transport.Config{})
	defer mustClose(t, bus)

	for _, tc := range []struct {
		name   string
		wanted []int
		from   time.Time
		most   int
		found  []int // 0: not proven
	}{
		{"before the first copy", []int{9}, time.Time{}, 100, []int{0}},
		{"at copies", []int{10, 12, 13, 15, 17}, time.Time{}, 100, []int{1, 2, 3, 4, 6}},
		{"between copies", []int{11}, time.Time{}, 100, []int{1}},
		{"where something was lost", []int{14}, time.Time{}, 100, []int{0}},
		{"at what was not fit", []int{16}, time.Time{}, 100, []int{5}},
		{"behind the last copy", []int{18}, time.Time{}, 100, []int{0}},
		{"from a time on", []int{10, 12, 13}, second(3), 100, []int{0, 0, 3}},
		{"farther than is looked", []int{10, 17}, time.Time{}, 3, []int{1, 0}},
		{"nothing", nil, time.Time{}, 100, []int{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var wanted []domain.Location
			for _, n := range tc.wanted {
				wanted = append(wanted, domain.Location{Log: oldLog, Position: position(n)})
			}
			want := make([]domain.Location, len(tc.found))
			for i, n := range tc.found {
				if n > 0 {
					want[i] = domain.Location{Log: 1, Position: position(n)}
				}
			}
			got, _, err := bus.Locate(t.Context(), topic, wanted, tc.from, tc.most)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("in a log that nothing was copied from", func(t *testing.T) {
		got, _, err := bus.Locate(t.Context(), topic, []domain.Location{{Log: oldLog, Position: position(12)}, {Log: 0xB, Position: position(12)}}, time.Time{}, 100)
		if want := []domain.Location{{Log: 1, Position: position(2)}, {}}; err != nil || !cmp.Equal(want, got) {
			t.Errorf("%v, %v", got, err)
		}
	})
	t.Run("bus down", func(t *testing.T) {
		l.set(func() { l.since = errNet })
		if _, _, err := bus.Locate(t.Context(), topic, []domain.Location{{Log: oldLog, Position: position(12)}}, time.Time{}, 100); !errors.Is(err, domain.ErrBusDown) {
			t.Errorf("error %v", err)
		}
	})
}

func TestOrigins(t *testing.T) {
	l := newLog(6)
	late := provenance.Origin{Locations: []domain.Location{{Log: 0xD, Position: position(1)}}, Time: second(3), Late: true}
	twice := provenance.Origin{Locations: []domain.Location{{Log: 0xB, Position: position(1)}, {Log: 0xC, Position: position(1)}}, Time: second(5)}
	copied(l, 1, 10, 0)
	copied(l, 2, 11, 10)
	l.entries[2].Header = []domain.Field{{Name: "fanfare.origin", Value: late.String()}} // no place to resume from
	l.entries[4].Header = []domain.Field{{Name: "fanfare.origin", Value: twice.String()}}
	bus := transport.New(l, transport.Config{})
	defer mustClose(t, bus)
	for most, want := range map[int][]domain.LogID{100: {oldLog, 0xB, 0xC}, 1: {oldLog}} {
		got, looked, err := bus.Origins(t.Context(), topic, most)
		if err != nil {
			t.Fatal(err)
		}
		if looked < 1 || looked > len(l.entries) {
			t.Errorf("most %d: looked at %d entries of %d", most, looked, len(l.entries))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("most %d: %s", most, diff)
		}
	}
}

// A cursor's time may be any; the broker is asked for one that it can understand.
func TestForgedTimesAreTimes(t *testing.T) {
	l := newLog(3)
	copied(l, 1, 10, 0)
	bus := transport.New(l, transport.Config{})
	defer mustClose(t, bus)
	for _, from := range []time.Time{time.UnixMilli(math.MinInt64), time.UnixMilli(-1), time.UnixMilli(math.MaxInt64), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if _, _, err := bus.Locate(t.Context(), topic, []domain.Location{{Log: oldLog, Position: position(10)}}, from, 100); err != nil {
			t.Errorf("from %v: %v", from, err)
		}
		l.set(func() {
			if year := l.from.UTC().Year(); year < 1970 || year > 9999 {
				t.Errorf("from %v, the broker was asked for the year %d", from, year)
			}
		})
	}
}
