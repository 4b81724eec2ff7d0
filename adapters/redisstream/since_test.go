package redisstream_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

func (k kit) log() transport.LogDriver { return k.d.(transport.LogDriver) }

func (k kit) since(ms int64) transport.Feed {
	k.t.Helper()
	f, err := k.log().FollowSince(k.t.Context(), "t", time.UnixMilli(ms))
	k.must(err)
	k.t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestFollowSinceBeginsWithTheFirstThatIsNotOlder(t *testing.T) {
	k := newKit(t)
	k.addAs("1000-0", "1000-1", "2000-0", "3000-7", "3000-8")
	for _, tc := range []struct {
		ms    int64
		begin string
		want  string
	}{
		{-5, "0-0", "1000-0 1000-1 2000-0 3000-7 3000-8"},
		{0, "0-0", "1000-0 1000-1 2000-0 3000-7 3000-8"},
		{1000, "0-0", "1000-0 1000-1 2000-0 3000-7 3000-8"},
		{1001, "1000-1", "2000-0 3000-7 3000-8"},
		{3000, "2000-0", "3000-7 3000-8"},
	} {
		f := k.since(tc.ms)
		if got := idOf(f.Begin()); got != tc.begin {
			t.Errorf("since %d: begins at %s, want %s", tc.ms, got, tc.begin)
		}
		want := strings.Fields(tc.want)
		if diff := cmp.Diff(want, k.bodies(f, len(want))); diff != "" {
			t.Errorf("since %d: %s", tc.ms, diff)
		}
	}
	later := k.since(3001)
	k.addAs("4000-0")
	if got := k.bodies(later, 1); idOf(later.Begin()) != "3000-8" || got[0] != "4000-0" {
		t.Errorf("since the future: %s, then %s", idOf(later.Begin()), got)
	}
}

func TestFollowSinceOfATrimmedLogIsAllThatIsLeft(t *testing.T) {
	k := newKit(t)
	all := k.add(1, 600)
	k.trim(400)
	f := k.since(0)
	if f.Begin() == "" || idOf(f.Begin()) == "0-0" {
		t.Errorf("begins at %s, though something is gone", idOf(f.Begin()))
	}
	if diff := cmp.Diff(all[200:], k.bodies(f, 400)); diff != "" {
		t.Error(diff)
	}
}

// A feed proves from its beginning on that nothing is missing, even if entries were
// removed from the middle of the stream before.
func TestFollowSinceProvesWhatFollows(t *testing.T) {
	k := newKit(t)
	k.addAs("1000-0", "2000-0", "3000-0", "4000-0", "5000-0")
	k.must(k.c.XDel(t.Context(), "t", "3000-0").Err())
	f := k.since(0)
	k.must(k.c.XTrimMinID(t.Context(), "t", "2000").Err())
	k.broken(f, domain.Trimmed, 0)

	f = k.since(0)
	if diff := cmp.Diff([]string{"2000-0", "4000-0", "5000-0"}, k.bodies(f, 3)); diff != "" {
		t.Error(diff)
	}
	k.must(k.c.XTrimMaxLen(t.Context(), "t", 0).Err())
	k.addAs("6000-0", "7000-0")
	if diff := cmp.Diff([]string{"6000-0", "7000-0"}, k.bodies(f, 2)); diff != "" {
		t.Error(diff)
	}
}

func TestFollowSinceOfNothing(t *testing.T) {
	k := newKit(t)
	f := k.since(0)
	if diff := cmp.Diff(k.add(1, 3), k.bodies(f, 3)); diff != "" {
		t.Error(diff)
	}
	k.trim(0)
	f = k.since(0)
	if diff := cmp.Diff(k.add(4, 5), k.bodies(f, 2)); diff != "" {
		t.Error(diff)
	}
}

func TestTailIsTheNewestEntry(t *testing.T) {
	k := newKit(t)
	want := func(id string) {
		t.Helper()
		at, err := k.log().Tail(t.Context(), "t")
		if err != nil || idOf(at) != id {
			t.Errorf("tail %s, %v; want %s", idOf(at), err, id)
		}
	}
	want("0-0")
	k.addAs("1000-0", "2000-5")
	want("2000-5")
	k.must(k.c.XDel(t.Context(), "t", "2000-5").Err())
	want("1000-0") // nobody can read the other any more
	k.trim(0)
	want("2000-5")
	k.must(k.c.Del(t.Context(), "t").Err())
	k.must(k.c.Set(t.Context(), "t", "no stream", 0).Err())
	if _, err := k.log().Tail(t.Context(), "t"); err == nil || errors.Is(err, domain.ErrBusDown) {
		t.Errorf("no stream: %v", err)
	}
	if _, err := k.log().FollowSince(t.Context(), "t", time.Time{}); err == nil || errors.Is(err, domain.ErrBusDown) {
		t.Errorf("no stream: %v", err)
	}
	k.Kill()
	if _, err := k.log().Tail(t.Context(), "t"); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("bus down: %v", err)
	}
	if _, err := k.log().FollowSince(t.Context(), "t", time.Time{}); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("bus down: %v", err)
	}
}
