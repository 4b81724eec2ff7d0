package redisstream_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func (k kit) want(want, got []string) {
	k.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		k.t.Fatal(diff)
	}
}

func TestFollowBeginsAtTheRealTail(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		f := k.follow("")
		if f.Begin() != domain.Position(make([]byte, 16)) {
			t.Fatalf("an empty stream begins at %x", f.Begin())
		}
		k.want(k.add(1, 3), k.bodies(f, 3))

		g := k.follow("")
		last := k.read(k.follow(f.Begin()), 3)[2]
		if g.Begin() != last.Position || f.Log() == 0 || f.Log() != g.Log() {
			t.Fatalf("begins at %x, the last entry is %x; logs %x, %x", g.Begin(), last.Position, f.Log(), g.Log())
		}
		k.want(k.add(4, 5), k.bodies(g, 2))
	})
}

func TestTheLastPositionIsGoodEvenWhenItsEntryIsGone(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		k.add(1, 10)
		all := k.read(k.follow(domain.Position(make([]byte, 16))), 10)
		k.trim(0)
		f := k.follow(all[9].Position)
		k.want(k.add(11, 12), k.bodies(f, 2))
		if f.Begin() != all[9].Position {
			t.Fatalf("begins at %x", f.Begin())
		}
	})
}

func TestAPositionOfAnotherStreamIsUnknown(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		k.addAs("100-1", "200-1")
		at := k.read(k.follow(domain.Position(make([]byte, 16))), 2)[1].Position

		k.must(k.c.Del(t.Context(), "t").Err())
		k.refused(at, domain.UnknownCursor) // gone
		k.addAs("150-1")
		k.refused(at, domain.UnknownCursor) // anew, with lower ids
		k.addAs("300-1")
		k.refused(at, domain.UnknownCursor) // … that have passed us
		k.must(k.c.Del(t.Context(), "t").Err())
		k.addAs("400-1", "500-1")
		k.refused(at, domain.UnknownCursor) // anew, with higher ids
		k.refused("short", domain.UnknownCursor)
	})
}

func TestARestartWithoutPersistenceIsABreakAndThenDeliveryGoesOn(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		f := k.follow("")
		k.add(1, 3)
		at := k.read(f, 3)[2].Position
		k.Kill()
		if _, err := f.Read(t.Context()); err == nil {
			t.Fatal("the feed survived its server")
		}
		k.Restart()
		k.refused(at, domain.UnknownCursor)
		k.add(4, 4)
		k.refused(at, domain.UnknownCursor)
		f = k.follow("")
		k.want(k.add(5, 6), k.bodies(f, 2))
	})
}

func TestARestartWithPersistenceIsNoBreak(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		k.add(1, 3)
		at := k.read(k.follow(domain.Position(make([]byte, 16))), 3)[0].Position
		k.must(k.c.Save(t.Context()).Err())
		k.Kill()
		k.Restart()
		k.want([]string{"2", "3"}, k.bodies(k.follow(at), 2))
	})
}

// On a shared connection so much waits for a slow reader as was read before the
// trimming; behind that comes the break.
func TestASlowReaderOfASharedConnectionOvertakenByTrimmingIsTold(t *testing.T) {
	k := newSharedKit(t)
	f := k.follow("")
	const n = 20_000
	k.add(1, n)
	driverkit.Poll(t, func() bool { // the feed has all that it takes without a reader
		calls := k.calls("xread")
		k.must(k.c.Ping(t.Context()).Err())
		return calls >= 4 && calls == k.calls("xread")
	})
	k.trim(50)
	read, last := 0, 0
	for {
		batch, err := f.Read(t.Context())
		if err != nil {
			driverkit.WantGap(t, err, domain.Trimmed)
			break
		}
		for _, e := range batch {
			at, err := strconv.Atoi(string(e.Body))
			k.must(err)
			if at != last+1 {
				t.Fatalf("%d after %d, and no break", at, last)
			}
			last = at
		}
		read += len(batch)
	}
	if read == 0 || read > 5*transport.BatchSize {
		t.Fatalf("%d entries waited for the reader", read)
	}
}

func TestASlowReaderOvertakenByTrimmingIsTold(t *testing.T) {
	k := newKit(t)
	f := k.follow("")
	k.add(1, 600)
	// The first batch is handed out while the second is on its way: 512 were
	// read before they were trimmed.
	if got := k.read(f, 256); len(got) != 256 {
		t.Fatalf("%d entries", len(got))
	}
	k.settled()
	k.add(601, 900)
	k.trim(50)
	k.broken(f, domain.Trimmed, 256)
}

// settled returns when no client of ours has a command under way.
func (k kit) settled() {
	k.t.Helper()
	k.must(k.c.Ping(k.t.Context()).Err())
}

func TestAReaderAheadOfTrimmingIsLeftAlone(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		f := k.follow("")
		for i := 1; i < 2000; i += 100 {
			k.want(k.add(i, i+99), k.bodies(f, 100))
			k.trim(100)
		}
	})
}

// Foreign publishers may keep as little as one entry: the one we stand at is
// gone whenever the next arrives.
func TestAStreamThatKeepsOneEntryIsReadWithoutBreaks(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		f := k.follow("")
		for i := 1; i <= 50; i++ {
			k.must(k.c.XAdd(t.Context(), &redis.XAddArgs{Stream: "t", MaxLen: 1, Values: []any{"data", i}}).Err())
			if got := k.read(f, 1); len(got) != 1 {
				t.Fatalf("%d entries", len(got))
			}
		}
	})
}

func TestAQuietStreamTrimmedByAgeIsNoBreak(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		f := k.follow("")
		k.want(k.add(1, 5), k.bodies(f, 5))
		k.trim(0)
		k.idle(f)
		k.want(k.add(6, 8), k.bodies(f, 3))
	})
}

// A reader that came in the middle does not know its ordinal until it has been
// idle once.
func TestAReaderThatCameInTheMiddleLearnsItsOrdinal(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		k.add(1, 5)
		at := k.read(k.follow(domain.Position(make([]byte, 16))), 5)[2].Position
		f := k.follow(at)
		k.want([]string{"4", "5"}, k.bodies(f, 2))
		k.idle(f)
		k.trim(0)
		k.want(k.add(6, 8), k.bodies(f, 3))
	})
}

// idle reads from a feed of which nothing is due until the server has answered
// that several times; the entry that ends the reading is consumed.
func (k kit) idle(f interface{}) {
	k.t.Helper()
	feed := f.(interface {
		Read(ctx ctx) ([]domain.Entry, error)
	})
	calls := k.calls("xread")
	go func() {
		driverkit.Poll(k.t, func() bool { return k.calls("xread") >= calls+2 })
		k.add(0, 0)
	}()
	batch, err := feed.Read(k.t.Context())
	if err != nil || len(batch) != 1 {
		k.t.Fatalf("while idle: %d entries, %v", len(batch), err)
	}
}

func TestDeletedEntriesAreNoBreak(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		f := k.follow("")
		k.add(1, 10)
		all := k.read(f, 10)
		del := func(e domain.Entry) {
			t.Helper()
			n, err := k.c.XDel(t.Context(), "t", idOf(e.Position)).Result()
			if err != nil || n != 1 {
				t.Fatalf("XDEL: %d, %v", n, err)
			}
		}
		del(all[9]) // where the feed stands
		k.want(k.add(11, 12), k.bodies(f, 2))
		del(all[4])
		k.want([]string{"6", "7", "8", "9", "11", "12"}, k.bodies(k.follow(all[4].Position), 6))
	})
}

func TestFlushallUnderARunningReaderIsABreak(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		f := k.follow("")
		k.want(k.add(1, 3), k.bodies(f, 3))
		k.must(k.c.FlushAll(t.Context()).Err())
		k.broken(f, domain.UnknownCursor, 0)

		f = k.follow("")
		k.want(k.add(1, 3), k.bodies(f, 3))
		k.must(k.c.FlushAll(t.Context()).Err())
		k.add(4, 4)
		k.broken(f, domain.UnknownCursor, 0)
	})
}

func TestAStreamCreatedAnewUnderARunningReaderIsABreak(t *testing.T) {
	for name, ids := range map[string][]string{
		"lower ids":          {"50-1"},
		"lower, then higher": {"50-1", "300-1"},
		"higher ids":         {"300-1"},
		"as many, higher":    {"300-1", "300-2", "300-3"},
		"more, higher":       {"300-1", "300-2", "300-3", "300-4", "300-5"},
	} {
		eachWay(t, name, func(t *testing.T, k kit) {
			f := k.follow("")
			k.addAs("100-1", "200-1", "200-2")
			k.read(f, 3)
			pipe := k.c.TxPipeline()
			pipe.Del(t.Context(), "t")
			for _, id := range ids {
				pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: "t", ID: id, Values: []string{"data", id}})
			}
			_, err := pipe.Exec(t.Context())
			k.must(err)
			k.broken(f, domain.UnknownCursor, 0)
		})
	}
}

func TestAConnectionThatSwallowsBytesIsNoticedWithinFiveSeconds(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		f := k.follow("")
		k.Freeze()
		defer k.Thaw()
		start := time.Now()
		_, err := f.Read(t.Context())
		if took := time.Since(start); err == nil || took > 5*time.Second {
			t.Fatalf("after %v: %v", took, err)
		}
	})
}

// Somebody adds and trims as he likes, and the reader is as slow as it likes:
// what it gets is either without a hole or behind a break.
func TestNothingIsSkippedSilently(t *testing.T) {
	eachWay(t, "", func(t *testing.T, k kit) {
		seed := rand.Uint64()
		t.Log("seed", seed)
		ctx, cancel := context.WithCancel(t.Context())
		var trims atomic.Int64
		done := make(chan error, 1)
		go func() {
			defer cancel()
			done <- k.churn(rand.New(rand.NewPCG(seed, 1)), 300, &trims)
		}()
		r := rand.New(rand.NewPCG(seed, 2))
		f, last, breaks, read, batches := k.follow(""), 0, 0, 0, 0
		for ctx.Err() == nil {
			batch, err := f.Read(ctx)
			if lost := (*transport.GapError)(nil); errors.As(err, &lost) {
				f, last, breaks = k.follow(""), 0, breaks+1
				continue
			}
			if ctx.Err() == nil {
				k.must(err)
			}
			for _, e := range batch {
				n, err := strconv.Atoi(string(e.Body))
				k.must(err)
				if last > 0 && n != last+1 {
					t.Fatalf("%d after %d, and no break", n, last)
				}
				last, read = n, read+1
			}
			if batches++; batches%20 == 0 { // and now and then very slow
				for till := trims.Load() + 3; trims.Load() < till && ctx.Err() == nil; {
					k.must(k.c.Ping(t.Context()).Err())
				}
			}
			for range r.IntN(3) * r.IntN(2) { // a slow reader
				k.must(k.c.Ping(t.Context()).Err())
			}
		}
		k.must(<-done)
		if read == 0 || breaks == 0 {
			t.Fatalf("%d entries read, %d breaks: that tests nothing", read, breaks)
		}
		t.Logf("%d entries read, %d breaks", read, breaks)
	})
}

// churn adds entries with the numbers from 1 on, and trims now and then.
func (k kit) churn(r *rand.Rand, rounds int, trims *atomic.Int64) error {
	for next := 1; rounds > 0; rounds-- {
		pipe := k.c.Pipeline()
		for range 1 + r.IntN(400) {
			pipe.XAdd(k.t.Context(), &redis.XAddArgs{Stream: "t", Values: []any{"data", next}})
			next++
		}
		trim := r.IntN(2) == 0
		if trim {
			pipe.XTrimMaxLen(k.t.Context(), "t", int64(r.IntN(600)))
		}
		if _, err := pipe.Exec(k.t.Context()); err != nil {
			return err
		}
		if trim {
			trims.Add(1)
		}
	}
	return nil
}
