package control_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
)

// usurp says something in the name of a node, to all others and to itself.
func (w *world) usurp(n *node, seq int64, rest string) {
	inc := n.Nodes(n.clock())[w.index(n)].Incarnation
	w.publish(fmt.Sprintf(`{"v":1,"node":%q,"inc":%q,"seq":%d,"at":%d%s}`, n.name, inc, seq, n.clock().Wall, rest))
}

// index returns where a node stands among those that it knows.
func (w *world) index(n *node) int {
	for i, info := range n.Nodes(n.clock()) {
		if info.Self {
			return i
		}
	}
	return -1
}

// Somebody speaks in a node's name. Others must hear the node itself again soon after.
func TestANodeRecoversFromWhoeverSpeaksInItsName(t *testing.T) {
	for name, said := range map[string]struct {
		seq  int64
		rest string
	}{
		"the greatest number":   {1<<53 - 1, ""},
		"the end":               {1<<53 - 1, `,"bye":true`},
		"a number soon to come": {40, `,"rows":[["chat","","mallory",1]]`},
	} {
		for _, log := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " log=", log), func(t *testing.T) {
				w := newWorld(t, 95)
				w.log = log
				a, b := w.add("a"), w.add("b")
				a.attach("alice", 1)
				b.attach("bob", 1)
				w.run(20 * time.Second)
				w.forged = true
				for range 3 {
					w.usurp(a, said.seq, said.rest)
					w.run(7 * time.Second)
				}
				b.block("eve", time.Hour)
				w.run(control.DefaultHeartbeat + control.DefaultGrace)
				w.wantPresent("alice", "bob")
				w.wantBlocked("eve", true)
				w.wantNodes("a", "b")
				w.wantTold("alice", "[online]", 5)
				if deaths := b.Stats().Deaths; deaths > 3 {
					t.Errorf("%d deaths", deaths)
				}
				id, err := b.Put(b.clock(), control.Key{Kind: control.Block, Name: "x"}, control.Value{}, time.Hour, true)
				if err != nil {
					t.Fatal(err)
				}
				w.run(time.Second)
				if o, complete := b.Outcome(id); !complete || len(o.Applied) != 2 {
					t.Errorf("%+v", o)
				}
			})
		}
	}
}

// A command that a node has not applied waits for it also under its new incarnation.
func TestACommandWaitsForANodeThatIsRenewed(t *testing.T) {
	w := newWorld(t, 96)
	a, b := w.add("a"), w.add("b")
	w.run(6 * time.Second)
	w.forged = true
	w.lose = 1
	id, err := b.Put(b.clock(), control.Key{Kind: control.Block, Name: "x"}, control.Value{}, time.Hour, true)
	if err != nil {
		t.Fatal(err)
	}
	w.run(3 * step)
	a.receive(fmt.Sprintf(`{"v":1,"node":"a","inc":%q,"seq":99,"at":%d}`, a.inc, a.clock().Wall+60_000), false)
	a.Tick(a.clock())
	text := string(a.Flush(a.clock()))
	b.receive(text, false)
	if o, complete := b.Outcome(id); complete || len(o.Pending) != 1 {
		t.Errorf("%+v is complete: %v", o, complete)
	}
}
