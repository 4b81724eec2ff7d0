package redisstream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// back counts n entries back, and returns what is read from there on.
func (k kit) back(upTo domain.Position, n, read int) (bodies []string, start bool) {
	k.t.Helper()
	at, start, err := k.d.(transport.Rewinder).Back(k.t.Context(), "t", upTo, n)
	k.must(err)
	return k.bodies(k.follow(at), read)[:read], start
}

func (k kit) wantBack(upTo domain.Position, n int, wantStart bool, want ...string) {
	k.t.Helper()
	got, start := k.back(upTo, n, len(want))
	if diff := cmp.Diff(want, got); diff != "" || start != wantStart {
		k.t.Errorf("%d back: start %v, want %v; %s", n, start, wantStart, diff)
	}
}

// Large entries are read a few at a time.
func TestBackCountsEntriesOfAnySize(t *testing.T) {
	k := newKit(t)
	large := strings.Repeat("x", 1<<20)
	for i := range 40 {
		fields := []string{"data", fmt.Sprint(i)}
		if i%3 == 0 {
			fields = append(fields, "more", large)
		}
		k.must(k.c.XAdd(t.Context(), &redis.XAddArgs{Stream: "t", Values: fields}).Err())
	}
	before := k.calls("xrevrange")
	k.wantBack("", 35, false, "5", "6")
	if n := k.calls("xrevrange") - before; n < 3 || n > 12 {
		t.Errorf("the entries were read in %d parts", n)
	}
}

func TestBackCountsWhatOthersHaveLeft(t *testing.T) {
	k := newKit(t)
	k.addAs("1000-0", "2000-0", "3000-0", "4000-0", "5000-0", "6000-0")
	k.must(k.c.XDel(t.Context(), "t", "4000-0", "6000-0").Err())
	k.wantBack("", 2, false, "3000-0", "5000-0")
	k.wantBack("", 4, false, "1000-0", "2000-0")
	k.wantBack("", 5, true, "1000-0", "2000-0")
	k.must(k.c.XDel(t.Context(), "t", "1000-0").Err())
	k.wantBack("", 9, true, "2000-0", "3000-0", "5000-0")
}

// From right before the first entry on nothing can be missing, whatever was trimmed. A
// feed that begins there proves what follows, too.
func TestFollowBeginsRightBeforeTheFirstEntry(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		all := k.add(1, 600)
		k.trim(400)
		at, start, err := k.d.(transport.Rewinder).Back(t.Context(), "t", "", 1000)
		k.must(err)
		if !start {
			t.Error("600 entries are there of 400")
		}
		f := k.follow(at)
		if diff := cmp.Diff(all[200:], k.bodies(f, 400)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(k.add(601, 602), k.bodies(f, 2)); diff != "" {
			t.Error(diff)
		}
		g := k.follow(at)
		k.must(k.c.XTrimMaxLen(t.Context(), "t", 300).Err())
		k.refused(at, domain.Trimmed)
		err = nil
		for read := 0; err == nil && read < 402; { // what it had read before may still come
			var batch []domain.Entry
			batch, err = g.Read(t.Context())
			read += len(batch)
		}
		if lost := (*domain.GapError)(nil); err != nil && !errors.As(err, &lost) {
			t.Error(err)
		}
	})
}

func TestBackSaysWhatIsWrong(t *testing.T) {
	k := newKit(t)
	back := func() error {
		_, _, err := k.d.(transport.Rewinder).Back(t.Context(), "t", "", 3)
		return err
	}
	k.must(k.c.Set(t.Context(), "t", "no stream", 0).Err())
	if err := back(); err == nil || errors.Is(err, domain.ErrBusDown) {
		t.Errorf("no stream: %v", err)
	}
	k.Kill()
	if err := back(); !errors.Is(err, domain.ErrBusDown) {
		t.Errorf("bus down: %v", err)
	}
}
