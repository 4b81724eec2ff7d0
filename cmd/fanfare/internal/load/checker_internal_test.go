package load

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestCheckerFindsEachFault(t *testing.T) {
	const gap = -1
	for _, c := range []struct {
		name      string
		sees      []int
		published uint32
		want      tally
		says      string // the one fault in words; empty if there is none
	}{
		{"all is well", []int{0, 1, 2}, 3, tally{}, ""},
		{"more than is known to be published", []int{0, 1, 2}, 1, tally{}, ""},
		{"one missing", []int{0, 2}, 3, tally{Lost: 1}, "1 to 2 missing"},
		{"the last missing", []int{0, 1}, 4, tally{Lost: 2}, "2 to 4 missing"},
		{"nothing came", nil, 2, tally{Lost: 2}, "0 to 2 missing"},
		{"one again", []int{0, 1, 1, 2}, 3, tally{Repeated: 1}, "message 1 came again"},
		{"an early one again", []int{0, 1, 2, 0}, 3, tally{Repeated: 1}, "message 0 came again"},
		{"two swapped", []int{0, 2, 1, 3}, 4, tally{Reordered: 1}, "message 1 came after message 2"},
		{"one late, and again", []int{0, 3, 2, 2, 1}, 4, tally{Reordered: 2, Repeated: 1}, "message 2 came after message 3"},
		{"lost in a gap", []int{0, gap, 5, 6}, 7, tally{Gaps: 1, InGaps: 4}, ""},
		{"nothing lost in a gap", []int{0, gap, 1}, 2, tally{Gaps: 1}, ""},
		{"the rest is in a gap", []int{0, gap}, 3, tally{Gaps: 1, InGaps: 2}, ""},
		{"some come again after a gap", []int{0, 1, 2, gap, 1, 2, 3}, 4, tally{Gaps: 1}, ""},
		{"lost after a gap", []int{gap, 2, 4}, 5, tally{Gaps: 1, InGaps: 2, Lost: 1}, "3 to 4 missing"},
	} {
		check := checker{next: make([]uint32, 1)}
		var says []string
		for _, n := range c.sees {
			if n == gap {
				check.gap()
			} else if _, fault := check.see(0, uint32(n)); fault != "" {
				says = append(says, fault)
			}
		}
		got := check.finish(func(int) uint32 { return c.published }, func(_ int, h hole) {
			says = append(says, fmt.Sprintf("%d to %d missing", h.from, h.to))
		})
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if c.says == "" && len(says) > 0 || c.says != "" && !slices.Contains(says, c.says) {
			t.Errorf("%s: it says %q, want %q", c.name, says, c.says)
		}
	}
}

// Whatever comes, in whatever order: each message that was published has come or is
// lost, and each that comes is new, late or a repetition.
func TestCheckerAccountsForEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const published = 30
		comes := rapid.SliceOfN(rapid.Uint32Range(0, published-1), 0, 60).Draw(t, "comes")
		check := checker{next: make([]uint32, 2)}
		isNew := 0
		for _, n := range comes {
			if ok, _ := check.see(1, n); ok {
				isNew++
			}
		}
		missing := 0
		got := check.finish(func(i int) uint32 { return uint32(i * published) }, func(_ int, h hole) { missing += int(h.to - h.from) })
		set := map[uint32]bool{}
		late := 0
		highest := -1
		for _, n := range comes {
			if int(n) < highest && !set[n] {
				late++
			}
			set[n] = true
			highest = max(highest, int(n))
		}
		want := tally{Lost: published - len(set), Repeated: len(comes) - len(set), Reordered: late}
		if got != want || isNew != len(set) || missing != want.Lost {
			t.Fatalf("%v: %+v, %d new, %d missing; want %+v", comes, got, isNew, missing, want)
		}
	})
}

func TestHolesAreBounded(t *testing.T) {
	check := checker{next: make([]uint32, 1)}
	for n := uint32(1); n < 4*maxHoles; n += 2 {
		check.see(0, n)
	}
	if n := len(check.rare.holes[0]); n != maxHoles {
		t.Errorf("%d holes are kept", n)
	}
	got := check.finish(func(int) uint32 { return 4 * maxHoles }, func(int, hole) {})
	if got.Lost != 2*maxHoles {
		t.Errorf("%+v", got)
	}
}

func TestStampsAreFoundInWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(0, 500).Draw(t, "size")
		s := stamp{to: rapid.Uint32().Draw(t, "to"), n: rapid.Uint32().Draw(t, "n"), due: rapid.Int64Range(0, 1<<48-1).Draw(t, "due")}
		f := newFormat(size)
		data := f.appendData([]byte(`{"op":"message","data":`), s)
		if got, ok := f.find(append(data, '}')); !ok || got != s {
			t.Fatalf("%s: %+v, %v; want %+v", data, got, ok, s)
		}
		if n := len(data) - len(`{"op":"message","data":`); n != size && size >= 60 {
			t.Fatalf("%d bytes, want %d", n, size)
		}
		other := newFormat(size)
		if _, ok := other.find(data); ok {
			t.Fatal("it takes the message of another load for its own")
		}
		for i := range data {
			f.find(data[:i]) // does not panic
		}
	})
}
