package stream_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

func TestATapIsShownWhatTheStreamTakesIn(t *testing.T) {
	f := begun(t, stream.Config{DedupeAge: time.Minute, HasLog: true})
	f.deliver(1, "before", "user:alice")
	var got []string
	remove := f.Tap(func(e *stream.Seen) {
		line := fmt.Sprint(e.What, " ", placeName(e.At))
		if e.Message != nil {
			line += fmt.Sprintf(" %s %v %s", e.Message.ID, e.Message.To, e.Message.Data)
		}
		got = append(got, line+string(e.Reason))
	})
	var other int
	removeOther := f.Tap(func(*stream.Seen) { other++ })
	f.deliver(2, "new", "user:alice", "user:bob")
	f.record(pos(3), time.Time{}, message("id-2", "new", "user:alice", "user:bob"))
	old := message("id-4", "old", "user:alice")
	old.TTL = time.Second
	f.record(pos(4), time.Now().Add(-time.Hour), old)
	f.record(pos(5), time.Time{}, nil)
	removeOther()
	removeOther()
	f.Step(&domain.Entry{Kind: domain.Gap, Reason: domain.Trimmed, Log: logA, Position: pos(6)}, nil)
	remove()
	f.deliver(7, "after", "user:alice")
	want := []string{
		"taken 2 id-2 [user:alice user:bob] new", "duplicate 3 id-2 [user:alice user:bob] new",
		"expired 4 id-4 [user:alice] old", "poison 5", "gap 6trimmed",
	}
	if !slices.Equal(got, want) || other != 4 {
		t.Errorf("got %q and %d, want %q", got, other, want)
	}
}
