package domain

import (
	"math"
	"regexp"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var isULID = regexp.MustCompile(`^[0-7][0-9A-HJKMNP-TV-Z]{25}$`)

func TestIDsAreULIDs(t *testing.T) {
	known := ulid{0x01, 0x56, 0x3d, 0xf3, 0x64, 0x81, 0x5f, 0x2c, 0x8b, 0xd9, 0x6b, 0x0a, 0x1e, 0x44, 0xc7, 0xff}
	const want = "01ARYZ6S41BWP8QPBB18F49HZZ"
	if got := known.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := (ulid{0: 255, 1: 255, 2: 255, 3: 255, 4: 255, 5: 255, 6: 255, 7: 255, 8: 255, 9: 255, 10: 255, 11: 255, 12: 255, 13: 255, 14: 255, 15: 255}).String(); got != "7ZZZZZZZZZZZZZZZZZZZZZZZZZ" {
		t.Errorf("got %s", got)
	}
	var ids IDs
	for range 1000 {
		if a, b := NewID(), ids.Next(); !isULID.MatchString(a) || !isULID.MatchString(b) {
			t.Fatal(a, b)
		}
	}
}

// A generator that is seeded with the time would make the same ids at the same
// time. In this bubble all ids are made at the same time.
func TestIDsCannotBeGuessedFromTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[string]bool)
		for range 1000 {
			id := NewID()
			if seen[id] || id[:10] != "00VHNCZB00" {
				t.Fatalf("%s at %v", id, time.Now())
			}
			seen[id] = true
			for other := range seen {
				if other != id && other[:20] == id[:20] {
					t.Fatalf("%s and %s have 50 random bits in common", id, other)
				}
			}
		}
	})
}

func TestIDsOfAGeneratorGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids IDs
		var all []string
		for i := range 5000 {
			all = append(all, ids.Next())
			if i%1000 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		if !slices.IsSorted(all) || len(slices.Compact(all)) != 5000 {
			t.Error("the ids are not sorted, or not distinct")
		}
	})
}

func TestIDsGrowThoughTheClockIsSetBackAndTheBitsOverflow(t *testing.T) {
	var ids IDs
	ids.last.setTime(time.Now().Add(time.Hour))
	for i := 6; i < len(ids.last); i++ {
		ids.last[i] = math.MaxUint8
	}
	before := ids.last
	all := []string{before.String()}
	for range 100 {
		all = append(all, ids.Next())
	}
	if !slices.IsSorted(all) || len(slices.Compact(all)) != 101 || ids.last.time() != before.time()+1 {
		t.Error(all[:3])
	}
}

// The first id of a millisecond is in the lower half of 2^80, and each further
// one is greater by at most 2^32. So at least 2^47 ids fit in a millisecond
// before one carries into the next.
func TestIDsLeaveRoomWithinTheirMillisecond(t *testing.T) {
	for range 100 {
		var ids IDs
		if ids.Next(); ids.last[6] >= 0x80 {
			t.Fatalf("the first id of a millisecond is %s", ids.last)
		}
	}
}

func TestMessagesWithoutAnIDAreNamedInOrder(t *testing.T) {
	var ids IDs
	first, given, last := &Message{}, &Message{ID: "order-1042-paid"}, &Message{}
	ids.Name(first, given, last)
	if !isULID.MatchString(first.ID) || given.ID != "order-1042-paid" || last.ID <= first.ID {
		t.Errorf("got %q, %q and %q", first.ID, given.ID, last.ID)
	}
}

func TestIDsAreMadeConcurrently(t *testing.T) {
	var ids IDs
	var seen sync.Map
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 500 {
				if _, again := seen.LoadOrStore(ids.Next(), true); again {
					t.Error("the same id twice")
				}
			}
		})
	}
	work.Wait()
}

func BenchmarkIDs(b *testing.B) {
	var ids IDs
	b.ReportAllocs()
	for b.Loop() {
		ids.Next()
	}
}
