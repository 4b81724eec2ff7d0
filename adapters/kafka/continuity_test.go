package kafka_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/test/broker"
	"github.com/fanfarebus/fanfare/test/driverkit"
)

func TestFollowGoesOnExactlyAfterAPosition(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(1)
		want := k.add(1, 1000)
		all := k.read(k.follow(beginning), 1000)
		for _, i := range []int{0, 1, 255, 256, 998} {
			k.want(want[i+1:], k.bodies(k.follow(all[i].Position), 999-i))
		}
		f := k.follow(all[999].Position)
		k.want(k.add(1001, 1001), k.bodies(f, 1))
	})
}

func TestAPositionWhoseFollowersWereTrimmedIsRefused(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(1)
		k.add(1, 10)
		k.trim(5)
		k.refused(at(3), domain.Trimmed)
		k.refused(beginning, domain.Trimmed)
		k.want([]string{"6", "7", "8", "9", "10"}, k.bodies(k.follow(at(5)), 5))
	})
}

func TestTheLastPositionIsGoodEvenWhenItsRecordIsGone(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(1)
		k.add(1, 10)
		k.trim(10)
		f := k.follow(at(10))
		k.want(k.add(11, 12), k.bodies(f, 2))
	})
}

func TestAPositionThatTheLogNeverHeldIsUnknown(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(1)
		k.add(1, 3)
		k.refused(at(4), domain.UnknownCursor)
		k.refused(at(-1), domain.UnknownCursor)
		k.refused("short", domain.UnknownCursor)
	})
}

func TestATopicCreatedAnewIsAnotherLog(t *testing.T) {
	onEach(t, func(k kit) {
		k.create(1)
		k.add(1, 3)
		f := k.follow(at(2))
		k.recreate()
		k.refused(at(3), domain.UnknownCursor) // beyond its end
		k.add(1, 5)
		g := k.follow(at(3))
		if g.Log() == f.Log() {
			k.t.Error("two logs have one identity")
		}
	})
}

func TestATopicCreatedAnewUnderARunningReaderIsABreak(t *testing.T) {
	onEach(t, func(k kit) {
		f := k.follow("")
		k.want(k.add(1, 3), k.bodies(f, 3))
		k.recreate()
		k.add(1, 5)
		k.broken(f, domain.UnknownCursor, 0)
	})
}

func TestATopicDeletedUnderARunningReaderIsABreak(t *testing.T) {
	onEach(t, func(k kit) {
		f := k.follow("")
		k.want(k.add(1, 3), k.bodies(f, 3))
		k.remove()
		k.broken(f, domain.UnknownCursor, 0)
	})
}

func TestASlowReaderOvertakenByTrimmingIsTold(t *testing.T) {
	onEach(t, func(k kit) {
		f := k.follow("")
		k.add(1, 600)
		k.read(f, 600)
		k.add(601, 900)
		k.trim(850)
		k.broken(f, domain.Trimmed, 0)
	})
}

func TestAReaderAheadOfTrimmingIsLeftAlone(t *testing.T) {
	onEach(t, func(k kit) {
		f := k.follow("")
		for i := 1; i < 1000; i += 100 {
			k.want(k.add(i, i+99), k.bodies(f, 100))
			k.trim(int64(i + 99))
		}
	})
}

func TestARestartOfTheBrokerIsNoBreak(t *testing.T) {
	s := broker.SharedKafka(t)
	k := newKit(t, s.URL())
	f := k.follow("")
	k.want(k.add(1, 3), k.bodies(f, 3))
	s.Kill()
	if _, err := f.Read(t.Context()); err == nil || errors.As(err, new(*transport.GapError)) {
		t.Fatalf("the broker is gone: %v", err)
	}
	s.Restart()
	var g transport.Feed
	driverkit.Poll(t, func() (ok bool) { // a broker that has just started is slow
		next, err := k.d.Follow(t.Context(), k.topic, at(3))
		g = next
		return err == nil
	})
	defer g.Close()
	if g.Log() != f.Log() {
		t.Error("after a restart it is another log")
	}
	k.want(k.add(4, 5), k.bodies(g, 2))
}

// Somebody adds and trims as he likes, and the reader is as slow as it likes:
// what it gets is either without a hole or behind a break.
func TestNothingIsSkippedSilently(t *testing.T) {
	onEach(t, func(k kit) {
		seed := rand.Uint64()
		k.t.Log("seed", seed)
		ctx, cancel := context.WithCancel(k.t.Context())
		f := k.follow("")
		var trims atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer cancel()
			k.churn(rand.New(rand.NewPCG(seed, 1)), 60, &trims)
		}()
		r := rand.New(rand.NewPCG(seed, 2))
		last, breaks, read, batches := 0, 0, 0, 0
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
					k.t.Fatalf("%d after %d, and no break", n, last)
				}
				last, read = n, read+1
			}
			if batches++; batches%20 == 0 { // and now and then very slow
				for till := trims.Load() + 3; trims.Load() < till && ctx.Err() == nil; {
					k.must(k.d.Ping(k.t.Context()))
				}
			}
			for range r.IntN(12) { // a slow reader
				k.must(k.d.Ping(k.t.Context()))
			}
		}
		<-done
		if read == 0 || breaks == 0 {
			k.t.Fatalf("%d records read, %d breaks: that tests nothing", read, breaks)
		}
		k.t.Logf("%d records read, %d breaks", read, breaks)
	})
}

// churn adds records with the numbers from 1 on, and trims now and then: further
// each time, for a broker may refuse to trim to where it has trimmed already.
func (k kit) churn(r *rand.Rand, rounds int, trims *atomic.Int64) {
	trimmed := int64(0)
	for next := 1; rounds > 0; rounds-- {
		n := 1 + r.IntN(2000)
		k.add(next, next+n-1)
		next += n
		if r.IntN(2) == 0 {
			trimmed = max(trimmed, int64(next-1-r.IntN(200)))
			k.trim(trimmed)
			trims.Add(1)
		}
	}
}

func TestFollowSinceBeginsWithTheFirstThatIsNotOlder(t *testing.T) {
	onEach(t, func(k kit) {
		f := k.follow("")
		var times []time.Time
		for i := 1; i <= 4; i++ {
			k.add(i, i)
			times = append(times, k.read(f, 1)[0].Time)
			driverkit.Poll(k.t, func() bool { return time.Since(times[i-1]) > 5*time.Millisecond })
		}
		for i, from := range times {
			g := k.since(from)
			want := []string{"1", "2", "3", "4"}[i:]
			if diff := cmp.Diff(want, k.bodies(g, len(want))); diff != "" || g.Begin() != at(int64(i)) {
				k.t.Errorf("since record %d: begins at %x: %s", i+1, g.Begin(), diff)
			}
		}
		k.want([]string{"1", "2", "3", "4"}, k.bodies(k.since(time.Time{}), 4))
		later := k.since(time.Now().Add(time.Hour))
		k.add(5, 5)
		if got := k.bodies(later, 1); later.Begin() != at(4) || got[0] != "5" {
			k.t.Errorf("since the future: %x, then %s", later.Begin(), got)
		}
		k.trim(3)
		k.want([]string{"4", "5"}, k.bodies(k.since(times[0]), 2))
	})
}
