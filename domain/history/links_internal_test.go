package history

import (
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A session that has missed very much must not cost a walk over all of it. The
// chain is cut where such a walk would have to pass: who passes there is led
// astray.
func TestLongChainsAreNotWalkedWhole(t *testing.T) {
	const entries, others = 10_000, 5
	room, _ := domain.RoomTarget("lobby")
	alice, _ := domain.UserTarget("alice")
	h := New(1, Config{})
	for i := range entries {
		to := alice
		if i%others == 0 {
			to = room
		}
		h.Append(&domain.Message{To: []domain.Target{to}}, Point{}, time.Time{})
	}
	cut := h.Next() - (patience+2*others)*others
	for ; ; cut-- {
		if l, _, ok := h.window.find(cut, room.String()); ok {
			l.setPrevious(0)
			break
		}
	}
	for n := h.First(); n < h.First()+3*others; n++ {
		want := h.First() + (n-h.First()+others-1)/others*others
		near := uint64(0)
		if k, found := h.NextFor(room, n, &near); !found || k != want || near != want {
			t.Errorf("the next entry from %d on is %d, %v; want %d", n, k, found, want)
		}
	}
}
