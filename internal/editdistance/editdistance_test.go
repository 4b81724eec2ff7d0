package editdistance_test

import (
	"testing"

	"github.com/fanfarebus/fanfare/internal/editdistance"
)

func TestDistanceIsTheFewestChanges(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"room", "room", 0}, {"", "room", 4}, {"room", "", 4},
		{"rooms", "room", 1}, {"rom", "room", 1}, {"roam", "room", 1},
		{"kitten", "sitting", 3}, {"ab", "ba", 2},
	} {
		if got := editdistance.Of(c.a, c.b); got != c.want {
			t.Errorf("from %q to %q: %d changes, want %d", c.a, c.b, got, c.want)
		}
	}
}
