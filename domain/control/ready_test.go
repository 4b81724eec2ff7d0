package control_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
)

func TestOnALogANodeIsReadyWhenItHasReadIt(t *testing.T) {
	w := newWorld(t, 50)
	w.log = true
	if a := w.add("a"); !a.Ready() {
		t.Error("it is not")
	}
	late := control.New(control.Config{Node: "b", Incarnation: "b", Log: true}, control.Now{})
	if late.Ready() {
		t.Error("it is ready before")
	}
}

func TestANodeThatIsAloneIsReadySoon(t *testing.T) {
	w := newWorld(t, 51)
	w.up = false
	a := w.add("a")
	w.run(10 * time.Second)
	if a.Ready() {
		t.Error("it cannot know that it is alone: the bus is down")
	}
	w.up = true
	w.run(800 * time.Millisecond)
	if a.Ready() {
		t.Error("it did not wait for others")
	}
	w.run(time.Second)
	if !a.Ready() {
		t.Error("it is not ready")
	}
}

func TestANodeIsReadyWhenItHasTheFactsOfAnother(t *testing.T) {
	for _, frozen := range []int{0, 1, 2} {
		t.Run(fmt.Sprint(frozen, " frozen"), func(t *testing.T) {
			w := newWorld(t, 52)
			a := w.add("a")
			w.add("b")
			w.add("c")
			w.run(3 * time.Second)
			for i := range 1500 {
				a.block(fmt.Sprintf("somebody-with-a-long-name-%d", i), time.Hour)
			}
			w.run(3 * time.Second)
			for i := range frozen {
				w.nodes[i].frozen = true
			}
			late := w.add("late")
			for range 80 {
				w.run(step)
				if late.Ready() {
					break
				}
			}
			if !late.Ready() || late.FactCount() != 1500 {
				t.Errorf("at %v ready %v, with %d facts", w.now, late.Ready(), late.FactCount())
			}
		})
	}
}

func TestNodesThatStartAtOnceAreAllReady(t *testing.T) {
	w := newWorld(t, 53)
	for i := range 5 {
		w.add(fmt.Sprint("n", i))
	}
	w.run(3 * time.Second)
	for _, n := range w.nodes {
		if !n.Ready() {
			t.Errorf("%s is not", n.name)
		}
	}
}

func TestTwoNewNodesDoNotPersuadeEachOtherThatThereIsNothing(t *testing.T) {
	w := newWorld(t, 54)
	a := w.add("a")
	w.run(3 * time.Second)
	a.block("bob", time.Hour)
	w.run(time.Second)
	a.frozen = true
	w.add("b")
	w.add("c")
	for range 140 {
		w.run(step)
		for _, n := range w.nodes[1:] {
			if n.Ready() && !n.blocked("bob") && len(n.Nodes(n.clock())) > 2 {
				t.Fatalf("at %v %s is ready, and knows nothing", w.now, n.name)
			}
		}
		if w.now > 6*time.Second {
			a.frozen = false
		}
	}
	w.wantBlocked("bob", true)
}

func TestAnAnswerOfWhichAPartIsMissingDoesNotCount(t *testing.T) {
	for seq, want := range map[int]bool{2: true, 3: false} {
		w := newWorld(t, 55)
		a := w.add("a")
		a.receive(forge(a, "01B", 1, `,"beat":{"ready":true,"facts":{"n":9,"digest":"0000000000000001"}}`), false)
		w.run(1200 * time.Millisecond)
		a.receive(forge(a, "01B", seq, fmt.Sprintf(`,"answered":[%q]`, a.inc)), false)
		if a.Ready() != want {
			t.Errorf("number %d follows 1: ready %v", seq, a.Ready())
		}
	}
}
