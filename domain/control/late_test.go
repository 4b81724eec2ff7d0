package control_test

import (
	"testing"
	"time"
)

// A node that could not reach a log for a while reads late what the speaker said before it
// died. What happened to the node meanwhile has to be told.
func TestWhoHearsTheSpeakerLateTellsWhatItHasNot(t *testing.T) {
	w := newWorld(t, 65)
	w.log = true
	a, b := w.add("a"), w.add("b")
	w.run(8 * time.Second)
	b.cut = true
	w.run(time.Second)
	b.attach("bob", 1)
	w.run(4 * time.Second)
	a.kill()
	w.run(2 * time.Second)
	b.cut = false
	w.run(45 * time.Second)
	w.wantTold("bob", "[online]", 1)
}

// A message that comes late, of a node whose clock is not known well yet, is by that clock
// nonetheless: by absolute time the fact would have ended.
func TestALateMessageOfANewNodeVoidsNothing(t *testing.T) {
	w := newWorld(t, 66)
	a, b := w.add("a"), w.add("b", skewed(400*time.Second))
	a.block("bob", time.Hour)
	w.run(4 * time.Second)
	a.frozen = true
	w.run(20 * time.Second)
	a.frozen = false
	a.block("bob", time.Minute)
	late := string(a.Flush(a.clock()))
	a.Published(a.clock(), true)
	w.run(5 * step) // it says later that it is awake
	b.receive(late, false)
	w.wantBlocked("bob", true)
	if b.Stats().Refused["stale"] == 0 {
		t.Error("the message was not late")
	}
}
