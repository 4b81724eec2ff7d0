package control_test

import (
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
)

func TestAFactIsTrueOnAllNodesUntilItsEnd(t *testing.T) {
	for name, log := range map[string]bool{"log": true, "lossy": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.log = log
			a := w.add("a")
			w.add("b")
			w.add("c")
			w.run(3 * time.Second)
			a.block("bob", time.Minute)
			if !a.blocked("bob") {
				t.Error("it is not true at once where it was put")
			}
			w.run(300 * time.Millisecond)
			w.wantBlocked("bob", true)
			w.run(59 * time.Second)
			w.wantBlocked("bob", true)
			w.run(2 * time.Second)
			w.wantBlocked("bob", false)
			w.run(15 * time.Minute)
			for _, n := range w.nodes {
				if n.FactCount() != 0 {
					t.Errorf("%s remembers %d facts", n.name, n.FactCount())
				}
			}
		})
	}
}

func TestAnOutcomeNamesWhoHasAppliedIt(t *testing.T) {
	w := newWorld(t, 2)
	a, b, c := w.add("a"), w.add("b"), w.add("c")
	w.run(3 * time.Second)
	w.wantNodes("a", "b", "c")
	c.frozen = true
	id, err := a.Put(a.clock(), control.Key{Kind: control.Disconnect, Name: "alice"}, control.Value{}, control.DisconnectTTL, true)
	if err != nil {
		t.Fatal(err)
	}
	w.run(500 * time.Millisecond)
	o, complete := a.Outcome(id)
	if complete || len(o.Applied) != 2 || o.Applied[1] != "b" || len(o.Pending) != 1 || o.Pending[0] != "c" {
		t.Errorf("with c frozen: %+v, complete %v", o, complete)
	}
	if !a.Saved(id) || len(b.effects) != 1 || b.effects[0].Key.Name != "alice" {
		t.Errorf("saved %v, effects of b %v", a.Saved(id), b.effects)
	}
	w.run(2 * control.DefaultDeadAfter)
	w.wantNodes("a", "b")
	if o, complete := a.Outcome(id); complete || len(o.Pending) != 1 {
		t.Errorf("with c frozen for long: %+v, complete %v", o, complete)
	}
	c.frozen = false
	w.run(5 * time.Second)
	if o, complete := a.Outcome(id); !complete || len(o.Applied) != 3 {
		t.Errorf("with c awake: %+v, complete %v", o, complete)
	}
	if len(c.effects) != 1 {
		t.Errorf("effects of c: %v", c.effects)
	}
}
