package history

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// equalHashes returns two rooms that the index knows by the same 32 bits.
func equalHashes(t *testing.T, x *index) (a, b domain.Target) {
	seen := make(map[uint64]domain.Target)
	for i := range 1 << 22 {
		room, err := domain.RoomTarget(fmt.Sprint("r", i))
		if err != nil {
			t.Fatal(err)
		}
		hash := x.key(room.String()).hash
		if other, found := seen[hash]; found {
			return other, room
		}
		seen[hash] = room
	}
	t.Fatal("all hashes differ")
	return a, b
}

func TestTargetsWithEqualHashesAreToldApart(t *testing.T) {
	h := New(1, Config{})
	a, b := equalHashes(t, &h.window.index)
	many := []domain.Target{b, a}
	for i := range 20 {
		many = append(many, targetName(i))
	}
	to := [][]domain.Target{{a}, {b}, {a}, many, {b}, many[1:], {a, b}, {b}}
	for range 20 {
		for _, each := range to {
			h.Append(&domain.Message{To: each}, Point{}, time.Time{})
		}
	}
	for h.Len() > 50 {
		h.DropOldest()
	}
	for _, target := range []domain.Target{a, b} {
		var want, got []uint64
		for n := h.First(); n < h.Next(); n++ {
			if slices.Contains(to[(n-firstNumber)%uint64(len(to))], target) {
				want = append(want, n)
			}
		}
		var near uint64
		for n, found := h.NextFor(target, 0, &near); found; n, found = h.NextFor(target, n+1, &near) {
			got = append(got, n)
		}
		if !slices.Equal(got, want) {
			t.Errorf("the entries for %s are %d, want %d", target, got, want)
		}
	}
}

// An index shrinks when the targets that it knew have left the window, though
// nothing is looked up in it when an entry is dropped.
func TestIndexIsAsLargeAsTheWindowNeeds(t *testing.T) {
	h := New(1, Config{})
	most := 0
	for i := range 10_000 {
		h.Append(&domain.Message{To: []domain.Target{targetName(i + 1)}}, Point{}, time.Time{})
		most = max(most, h.window.index.size())
	}
	for h.Len() > 100 {
		h.DropOldest()
	}
	if now := h.window.index.size(); now > most/16 {
		t.Errorf("it takes %d bytes for 100 targets, and took %d for 10,000", now, most)
	}
	for i := range 100_000 { // other targets come and go
		h.Append(&domain.Message{To: []domain.Target{targetName(i + 20_000)}}, Point{}, time.Time{})
		h.DropOldest()
	}
	if now := h.window.index.size(); now > most/16 {
		t.Errorf("it takes %d bytes for the 100 targets in the window", now)
	}
}
