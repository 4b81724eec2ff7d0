package migrate_test

import (
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A node counts back on the bus that is current, or else on the one whose log it names.
func TestBackCountsInTheLogThatItIsAsked(t *testing.T) {
	in(t, func(w *world) {
		n := w.node()
		oldTail, err := w.open(w.old).Tail(w.Context(), topic)
		if err != nil {
			w.Fatal(err)
		}
		for range 4 {
			w.publish(w.old) // 1 to 4
		}
		w.want(n, "1 2 3 4")
		w.wantBack(n, domain.Location{}, 3, "2 3 4")
		w.bridge()
		w.cutOver()
		w.publish(w.new) // 5
		w.publish(w.new) // 6
		w.want(n, "1 2 3 4 movedHere 5 6")
		w.wantBack(n, domain.Location{}, 2, "5 6")
		newTail, err := w.open(w.new).Tail(w.Context(), topic)
		if err != nil {
			w.Fatal(err)
		}
		w.wantBack(n, newTail, 2, "5 6")
		oldTail.Position = "\x00\x00\x00\x00\x00\x00\x00\x03"
		w.wantBack(n, oldTail, 2, "2 3 4")
	})
}

// wantBack counts back from upTo and checks what is read from there on, in the same log.
func (w *world) wantBack(n *reader, upTo domain.Location, count int, want string) {
	w.Helper()
	at, start, err := n.bus.Back(w.Context(), topic, upTo, count)
	if err != nil || start {
		w.Fatalf("%d back: start %v, %v", count, start, err)
	}
	r := &reader{}
	after := domain.Location{Log: upTo.Log, Position: at}
	if after.Log == 0 {
		after.Log = n.currentLog(w)
	}
	words := len(want)/2 + 1
	err = n.bus.Replay(w.Context(), topic, after, time.Time{}, func(batch []domain.Entry) bool {
		for i := range batch {
			r.words = append(r.words, describe(&batch[i])...)
		}
		return len(r.words) < words
	})
	if err != nil {
		w.Fatal(err)
	}
	r.words = r.words[:words]
	w.want(r, want)
}

// currentLog is the log that the node reads now.
func (r *reader) currentLog(w *world) domain.LogID {
	w.Helper()
	bus, next := r.bus.Buses()
	if r.bus.Moved() > 0 {
		bus = next
	}
	at, err := bus.Tail(w.Context(), topic)
	if err != nil {
		w.Fatal(err)
	}
	return at.Log
}
