package control_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
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

// A membership may end between two ticks. What the bus brings meanwhile must not hide that
// from the sessions.
func TestAMembershipEndsForSessionsAlsoBetweenTicks(t *testing.T) {
	w := newWorld(t, 67)
	a := w.add("a")
	w.run(3 * time.Second)
	key := control.Key{Kind: control.Membership, System: "chat", Room: "lobby", Name: "bob"}
	if _, err := a.Put(a.clock(), key, control.Value{}, time.Second, false); err != nil {
		t.Fatal(err)
	}
	w.run(900 * time.Millisecond)
	w.now += 110 * time.Millisecond // the membership ended meanwhile
	a.effects = nil
	// An older version comes late, which would have been remembered for longer.
	a.receive(forge(a, "01B", 1, fmt.Sprintf(`,"facts":[{"k":["member","chat","lobby","bob"],"until":%d,"ver":[%d,0,"e"]}]`,
		a.clock().Wall+7_200_000, start)), false)
	w.run(step)
	if len(a.effects) != 1 || a.effects[0].Key != key {
		t.Errorf("the sessions were told %v", a.effects)
	}
}

// The bus is away for longer than the journal goes back, and the speaker dies meanwhile.
func TestWhatHappensInALongOutageIsTold(t *testing.T) {
	w := newWorld(t, 68)
	w.log = true
	a, b := w.add("a"), w.add("b")
	b.attach("bob", 1)
	w.run(8 * time.Second)
	w.up = false
	b.attach("bob", -1)
	w.run(90 * time.Second)
	a.kill()
	w.up = true
	w.run(30 * time.Second)
	w.wantTold("bob", "[online offline]", 3)
}

func TestAFactThatIsForgottenJustNowCanBeDeleted(t *testing.T) {
	w := newWorld(t, 69)
	a := w.add("a")
	w.run(3 * time.Second)
	a.block("bob", time.Second)
	w.run(15*time.Minute + 900*time.Millisecond)
	w.now += 110 * time.Millisecond // it is not remembered any more, which no Tick has seen
	if _, err := a.Delete(a.clock(), control.Key{Kind: control.Block, Name: "bob"}, false); err != nil {
		t.Error(err)
	}
}
