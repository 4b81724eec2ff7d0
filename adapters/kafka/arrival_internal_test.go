package kafka

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestATimeThatCannotBeIsNotBelieved(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	created := func(at time.Time) *kgo.Record { return &kgo.Record{Timestamp: at} }
	for name, c := range map[string]struct {
		clock arrivalTimes
		at    time.Time
		want  time.Time
	}{
		"an honest one":                      {arrivalTimes{}, now.Add(-time.Second), now.Add(-time.Second)},
		"an honest old one":                  {arrivalTimes{}, now.Add(-time.Hour), now.Add(-time.Hour)},
		"a year ahead, nothing known":        {arrivalTimes{}, now.AddDate(1, 0, 0), now},
		"a year ahead, after another":        {arrivalTimes{newest: now.Add(-time.Minute)}, now.AddDate(1, 0, 0), now.Add(-time.Minute)},
		"a year ahead, at the log's end":     {arrivalTimes{emptyAt: now.Add(-time.Second)}, now.AddDate(1, 0, 0), now.Add(-time.Second)},
		"a year late, at the log's end":      {arrivalTimes{emptyAt: now.Add(-time.Second)}, now.AddDate(-1, 0, 0), now.Add(-time.Second)},
		"late, after another":                {arrivalTimes{newest: now.Add(-time.Minute)}, now.Add(-time.Hour), now.Add(-time.Minute)},
		"none at all":                        {arrivalTimes{}, time.UnixMilli(-1), now},
		"none at all, after another":         {arrivalTimes{newest: now.Add(-time.Minute)}, time.UnixMilli(-1), now.Add(-time.Minute)},
		"before 1970":                        {arrivalTimes{}, time.UnixMilli(-1 << 50), now},
		"the last one that milliseconds say": {arrivalTimes{}, time.UnixMilli(1<<63 - 1), now},
		"the first":                          {arrivalTimes{}, time.UnixMilli(-1 << 63), now},
	} {
		r := created(c.at)
		c.clock.set(fetched{records: []*kgo.Record{r}, next: 1, stable: 1}, now)
		if !r.Timestamp.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, r.Timestamp, c.want)
		}
	}
}

// A record whose producer's clock is fast does not change the times of the records after it.
func TestAFastClockOfOneDoesNotDateTheOthers(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	var c arrivalTimes
	got := fetched{records: []*kgo.Record{
		{Timestamp: now.Add(-3 * time.Hour)}, {Timestamp: now.AddDate(1, 0, 0)}, {Timestamp: now.Add(-2 * time.Hour)}, {Timestamp: now.Add(-time.Hour)},
	}, next: 4, stable: 9}
	c.set(got, now)
	want := []time.Duration{3 * time.Hour, 3 * time.Hour, 2 * time.Hour, time.Hour}
	for i, r := range got.records {
		if age := now.Sub(r.Timestamp); age != want[i] {
			t.Errorf("record %d is %v old, want %v", i, age, want[i])
		}
	}
	if !c.emptyAt.IsZero() {
		t.Error("there was more in the log")
	}
}

// A feed since a time begins with the first record whose timestamp is later. If that one is
// from the future, the records after it keep their own times.
func TestAFeedThatBeginsWithAFastClockDatesTheOthers(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	var c arrivalTimes
	got := fetched{records: []*kgo.Record{
		{Timestamp: now.AddDate(1, 0, 0)}, {Timestamp: time.UnixMilli(-1)}, {Timestamp: now.Add(-2 * time.Hour)}, {Timestamp: now.Add(-3 * time.Hour)},
	}, next: 4, stable: 9}
	c.set(got, now)
	for i, want := range []time.Duration{0, 0, 2 * time.Hour, 2 * time.Hour} {
		if age := now.Sub(got.records[i].Timestamp); age != want {
			t.Errorf("record %d is %v old, want %v", i, age, want)
		}
	}
}
