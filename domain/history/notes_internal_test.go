package history

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fanfarebus/fanfare/domain"
)

// Notes are found as a look at all of them would find them, before and after
// their numbers have outgrown 32 bits.
func TestNotesAreFoundByTheirKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newNotes()
		first := rapid.SampledFrom([]uint64{1, 1<<32 - 20, 1<<40 - 3}).Draw(t, "first")
		s.ring = newRing[note](first)
		var keys []uint64 // of note first+i
		gone := 0
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.IntRange(1, 50).Draw(t, "notes") {
					keys = append(keys, rapid.Uint64Range(0, 30).Draw(t, "key"))
					s.add(keys[len(keys)-1], uint64(len(keys)), 0)
				}
			},
			"forget": func(t *rapid.T) {
				for range rapid.IntRange(1, 60).Draw(t, "notes") {
					if gone < len(keys) {
						s.forget()
						gone++
					}
				}
			},
			"": func(t *rapid.T) {
				for key := range uint64(32) {
					var want, got []uint64
					for i := len(keys) - 1; i >= gone; i-- {
						if keys[i] == key {
							want = append(want, first+uint64(i))
						}
					}
					for n, ok := s.newest(key); ok; n, ok = s.earlier(n) {
						got = append(got, n)
					}
					if !slices.Equal(got, want) {
						t.Fatalf("key %d has the notes %d, want %d", key, got, want)
					}
				}
			},
		})
	})
}

// A Dedupe says what a list of all that came would say.
func TestDedupeIsAList(t *testing.T) {
	type sighting struct {
		id, content string
		at          time.Time
	}
	rapid.Check(t, func(t *rapid.T) {
		most, age := rapid.IntRange(1, 20).Draw(t, "most"), 10*time.Second
		d := NewDedupe(most, age)
		var list []sighting
		now := time.Unix(1_700_000_000, 0)
		for range rapid.IntRange(1, 200).Draw(t, "messages") {
			step := rapid.SampledFrom([]int{0, 0, 0, 0, 1, 3, -2, 11, -30, 100_000_000}).Draw(t, "seconds")
			now = now.Add(time.Duration(step)*time.Second + time.Millisecond)
			for i := range list {
				if list[i].at.After(now) {
					list[i].at = now
				}
			}
			for len(list) > 0 && now.Sub(list[0].at) > age {
				list = list[1:]
			}
			s := sighting{fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "id")), fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "content")), now}
			want, pushed := Fresh, false
			for _, other := range list {
				if other.id == s.id && other.content == s.content {
					want = Duplicate
				} else if other.id == s.id && want == Fresh {
					want = Conflict
				}
			}
			if want != Duplicate {
				if pushed = len(list) == most; pushed {
					list = list[1:]
				}
				list = append(list, s)
			}
			got, forgotten := d.CheckAt(&domain.Message{ID: s.id, Data: []byte(s.content)}, now)
			if got != want || forgotten != pushed || d.seen.len() != len(list) {
				t.Fatalf("it says %v, %v and has %d; want %v, %v, %d", got, forgotten, d.seen.len(), want, pushed, len(list))
			}
		}
	})
}
