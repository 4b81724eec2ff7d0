package stream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

func TestMessagesAreFoundByTheirIDs(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := begun(t, stream.Config{HasLog: true, Messages: 10_000, Now: func() time.Time { return now }})
	put := func(at int, m *domain.Message) { f.record(pos(at), now.Add(time.Duration(at)*time.Millisecond), m) }
	for i := 1; i <= 9000; i++ { // more than are looked at with the lock held once
		put(i, message(fmt.Sprint("id-", i), "x", "user:alice"))
	}
	put(9001, message("twice", "a", "user:alice", "room:x"))
	put(9002, message("twice", "a", "user:alice", "room:x")) // a repetition: not in the window
	put(9003, message("twice", "b", "user:bob"))
	old := message("late", "x", "user:alice")
	old.TTL = time.Second
	f.record(pos(9004), now.Add(-time.Minute), old)
	put(9005, message("", "x", "*"))

	for _, c := range []struct {
		id   string
		want []string
	}{
		{"id-1", []string{"1 [user:alice] x"}},
		{"id-9000", []string{"9000 [user:alice] x"}},
		{"twice", []string{"9001 [user:alice room:x] a", "9003 [user:bob] b"}},
		{"late", nil},
		{fmt.Sprintf("%x", string(pos(9005))), []string{"9005 [*] x"}},
		{"nobody's", nil},
	} {
		var got []string
		for _, found := range f.FindID(c.id) {
			m := found.Message
			got = append(got, fmt.Sprint(placeName(found.Cursor), " ", m.To, " ", string(m.Data)))
			if found.Cursor.ID != domain.HashID(c.id) || m.ID != c.id {
				t.Errorf("%s: found id %q, cursor %+v", c.id, m.ID, found.Cursor)
			}
			if at := found.Cursor.Time; !found.LoggedAt.Equal(at) || at.Before(now) {
				t.Errorf("%s: logged at %v, and the cursor says %v", c.id, found.LoggedAt, at)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.id, diff)
		}
	}
	if c, ok := f.Cursor(); !ok || placeName(c) != "9005" {
		t.Errorf("the cursor is %s %v", placeName(c), ok)
	}
}

func TestAStreamThatIsNotConfirmedHasNoCursor(t *testing.T) {
	f := newFixture(t, stream.Config{HasLog: true})
	if c, ok := f.Cursor(); ok || !c.IsZero() {
		t.Errorf("the cursor is %v %v", c, ok)
	}
}
