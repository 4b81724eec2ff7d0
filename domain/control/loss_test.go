package control_test

import (
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
)

func TestWhatTheBusDidNotTakeIsSaidAgain(t *testing.T) {
	w := newWorld(t, 70)
	a := w.add("a")
	w.add("b")
	w.run(6 * time.Second)
	w.up = false
	a.block("bob", time.Hour)
	a.attach("alice", 1)
	w.run(time.Second)
	w.up = true
	w.run(300 * time.Millisecond)
	w.wantBlocked("bob", true)
	w.wantPresent("alice")
}

func TestACommandThatWasLostIsRepeated(t *testing.T) {
	w := newWorld(t, 71)
	a := w.add("a")
	w.add("b")
	w.run(6 * time.Second)
	w.lose = 1
	id, err := a.Put(a.clock(), control.Key{Kind: control.Block, Name: "bob"}, control.Value{}, time.Hour, true)
	if err != nil {
		t.Fatal(err)
	}
	w.run(300 * time.Millisecond)
	w.lose = 0
	w.run(900 * time.Millisecond)
	if o, complete := a.Outcome(id); !complete || len(o.Applied) != 2 {
		t.Errorf("%+v, complete %v", o, complete)
	}
	w.wantBlocked("bob", true)
	a.Forget(id)
	if _, complete := a.Outcome(id); complete || a.Saved(id) {
		t.Error("it is not forgotten")
	}
	before := w.messages
	w.run(3 * time.Second)
	if n := w.messages - before; n > 4 {
		t.Errorf("%d messages when there is nothing to say", n)
	}
}

func TestAReplayOfALivingNodeChangesNothing(t *testing.T) {
	w := newWorld(t, 72)
	a, b := w.add("a"), w.add("b")
	w.run(6 * time.Second)
	a.attach("alice", 1)
	w.run(300 * time.Millisecond)
	old := w.kept[len(w.kept)-1]
	a.attach("alice", -1)
	a.attach("carol", 1)
	w.run(control.DefaultGrace + time.Second)
	w.wantPresent("carol")
	b.receive(old, false)
	w.wantPresent("carol")
	if b.Stats().Refused["stale"] != 1 {
		t.Errorf("%v", b.Stats().Refused)
	}
}

func TestAMissedNumberIsNoticedAtOnce(t *testing.T) {
	w := newWorld(t, 73)
	a, b := w.add("a"), w.add("b")
	w.run(6 * time.Second)
	w.lose = 1
	a.attach("alice", 1)
	w.run(2 * step)
	w.lose = 0
	a.attach("bob", 1)
	w.run(2 * step)
	if page := b.Who(chat, "", 9); page.Complete || page.Count != 1 {
		t.Errorf("%+v", page)
	}
	w.run(8 * time.Second)
	w.wantPresent("alice", "bob")
}

func TestTimeInWhichAProcessWasStoppedKillsNobody(t *testing.T) {
	w := newWorld(t, 74)
	short := func(cfg *control.Config, _ *node) { cfg.DeadAfter = 10 * time.Second }
	a := w.add("a", short)
	w.add("b", short)
	w.run(6 * time.Second)
	for range 10 {
		a.frozen, w.lose = true, 1
		w.run(7 * time.Second)
		a.frozen, w.lose = false, 0
		w.run(6 * time.Second) // it hears a heartbeat in each of these
	}
	if deaths := a.Stats().Deaths; deaths > 0 {
		t.Errorf("%d deaths", deaths)
	}
}
