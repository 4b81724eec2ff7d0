package stream_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// Pages go across the place at which the bus was moved, back and forth, and begin at
// cursors of either log.
func TestPagesGoAcrossAMoveOfTheBus(t *testing.T) {
	const logB = domain.LogID(0xB)
	f := begun(t, stream.Config{HasLog: true, Backlog: stream.NewBudget(1 << 20)})
	f.deliver(1, "a", "*")
	f.deliver(2, "b", "user:alice")
	f.moved(logB, pos(100), time.Time{}, pos(100), domain.Location{Log: logA, Position: pos(3)})
	f.record(pos(101), time.Time{}, message("c", "c", "user:alice"))
	f.record(pos(102), time.Time{}, message("d", "d", "*"))
	back := func(before domain.Cursor, most int) []string {
		t.Helper()
		start := f.Newest(nil, before, most)
		if !start.End.IsZero() {
			before = start.End
		}
		got := f.page(stream.Part{After: start.At, Before: before, Most: most, Bytes: 1000, Newest: true})
		if got.Gap != "" || !got.Whole {
			t.Errorf("%+v", got)
		}
		return texts(got.Messages)
	}
	cursorOf := func(log domain.LogID, at int, id string) domain.Cursor {
		return domain.Cursor{Log: log, Position: pos(at), ID: domain.HashID(id)}
	}
	for _, c := range []struct {
		what   string
		before domain.Cursor
		most   int
		want   []string
	}{
		{"the newest", domain.Cursor{}, 3, []string{"b [user:alice]", "c [user:alice]", "d [*]"}},
		{"before the last", cursorOf(logB, 102, "d"), 2, []string{"b [user:alice]", "c [user:alice]"}},
		{"before the first of the new log", cursorOf(logB, 101, "c"), 9, []string{"a [*]", "b [user:alice]"}},
		{"before the old log's end", domain.Cursor{Log: logA, Position: pos(3)}, 9, []string{"a [*]", "b [user:alice]"}},
		{"before the last of the old log", cursorOf(logA, 2, "id-2"), 9, []string{"a [*]"}},
	} {
		if diff := cmp.Diff(c.want, back(c.before, c.most)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
	got := f.page(stream.Part{After: cursorOf(logA, 1, "id-1"), Most: 9, Bytes: 1000})
	if diff := cmp.Diff([]string{"b [user:alice]", "c [user:alice]", "d [*]"}, texts(got.Messages)); diff != "" || got.Gap != "" {
		t.Errorf("forward: %q (-want +got):\n%s", got.Gap, diff)
	}
}
