package control_test

import (
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain/control"
)

func skewed(by time.Duration) func(*control.Config, *node) {
	return func(_ *control.Config, n *node) { n.skew = by }
}

func TestWrongClocksNeitherVoidNorProlongAFact(t *testing.T) {
	for name, log := range map[string]bool{"log": true, "lossy": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 20)
			w.log = log
			a := w.add("a", skewed(-10*time.Minute))
			b := w.add("b", skewed(10*time.Minute))
			w.add("c")
			w.run(6 * time.Second)
			a.block("short", time.Minute)
			b.block("brief", time.Minute)
			a.block("long", 30*time.Minute)
			w.run(500 * time.Millisecond)
			for range 4 {
				w.wantBlocked("short", true)
				w.wantBlocked("brief", true)
				w.run(14 * time.Second)
			}
			w.run(5 * time.Second)
			w.wantBlocked("short", false)
			w.wantBlocked("brief", false)
			a.kill() // those that have it from a keep it as long as a said
			w.run(8 * time.Minute)
			w.add("d", skewed(-10*time.Minute)) // it has it from those that have it
			w.run(20*time.Minute + 45*time.Second)
			w.wantBlocked("long", true)
			w.run(30 * time.Second)
			w.wantBlocked("long", false)
		})
	}
}

func TestAClockThatStepsChangesNoFact(t *testing.T) {
	for _, by := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		w := newWorld(t, 21)
		a, b := w.add("a"), w.add("b")
		w.add("c")
		w.run(6 * time.Second)
		a.block("before", 2*time.Minute)
		w.run(time.Second)
		a.skew += by
		a.block("behind", 2*time.Minute)
		w.run(time.Second)
		b.skew -= by
		b.block("b", 2*time.Minute)
		w.run(time.Second)
		for _, user := range []string{"before", "behind", "b"} {
			w.wantBlocked(user, true)
		}
		w.run(114 * time.Second)
		for _, user := range []string{"before", "behind", "b"} {
			w.wantBlocked(user, true)
		}
		w.run(6 * time.Second)
		for _, user := range []string{"before", "behind", "b"} {
			w.wantBlocked(user, false)
		}
	}
}

func TestOnALogFactsOutliveAllNodes(t *testing.T) {
	w := newWorld(t, 22)
	w.log = true
	a := w.add("a")
	w.run(3 * time.Second)
	a.block("bob", time.Hour)
	a.block("carol", time.Minute)
	a.block("dave", time.Hour)
	w.run(time.Second)
	if _, err := a.Delete(a.clock(), control.Key{Kind: control.Block, Name: "dave"}, false); err != nil {
		t.Fatal(err)
	}
	w.run(time.Second)
	a.kill()
	w.run(10 * time.Minute)
	b := w.add("b")
	if !b.Ready() {
		t.Error("it has read the log, and is not ready")
	}
	w.wantNodes("b") // what is in the log says nothing of who is alive
	w.run(time.Second)
	w.wantBlocked("bob", true)
	w.wantBlocked("carol", false)
	w.wantBlocked("dave", false)
	w.run(50 * time.Minute)
	w.wantBlocked("bob", false)
}

func TestReplaysReviveNoFact(t *testing.T) {
	w := newWorld(t, 23)
	a := w.add("a")
	w.add("b")
	w.run(3 * time.Second)
	a.block("ended", time.Minute)
	a.block("deleted", time.Hour)
	a.block("shorter", time.Hour)
	w.run(time.Second)
	if _, err := a.Delete(a.clock(), control.Key{Kind: control.Block, Name: "deleted"}, false); err != nil {
		t.Fatal(err)
	}
	a.block("shorter", time.Second)
	w.run(2 * time.Minute)
	check := func() {
		t.Helper()
		for _, user := range []string{"ended", "deleted", "shorter"} {
			w.wantBlocked(user, false)
		}
	}
	check()
	replay(w, "a")
	check()
	a.kill()
	w.run(time.Minute)
	replay(w, "a")
	check()
	w.add("c") // it has never heard of a
	w.run(3 * time.Second)
	replay(w, "a")
	check()
}

func TestAFactFromTheFutureIsNotBelieved(t *testing.T) {
	w := newWorld(t, 24)
	a, b := w.add("a"), w.add("b")
	w.run(6 * time.Second)
	a.skew = 1000 * time.Hour
	a.block("bob", time.Minute)
	w.run(time.Second)
	if b.blocked("bob") || b.Stats().Refused["future"] == 0 {
		t.Error("b believes a clock that is a thousand hours ahead")
	}
	b.block("bob", 366*24*time.Hour)
	w.run(time.Second)
	if !b.blocked("bob") {
		t.Error("b obeys a, not itself")
	}
}

func TestEndsFromALogAreCorrectedByTheirWriter(t *testing.T) {
	for _, by := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		w := newWorld(t, 25)
		w.log = true
		never := func(cfg *control.Config, _ *node) { cfg.Refresh = 100 * time.Hour }
		a := w.add("a", skewed(by), never)
		a.block("bob", 30*time.Minute)
		w.run(5 * time.Minute)
		b := w.add("b", never)
		w.run(10 * time.Second)
		f, ok := b.Fact(control.Key{Kind: control.Block, Name: "bob"})
		if want := 24*time.Minute + 50*time.Second; !ok || f.Left < want-time.Second || f.Left > want+time.Second {
			t.Errorf("%v is left, want %v", f.Left, want)
		}
		w.run(24*time.Minute + 45*time.Second)
		w.wantBlocked("bob", true)
		w.run(10 * time.Second)
		w.wantBlocked("bob", false)
	}
}

func TestAFactIsSaidAgainBeforeTheLogForgetsIt(t *testing.T) {
	w := newWorld(t, 26)
	w.log = true
	a := w.add("a")
	a.block("bob", 5*time.Hour)
	w.run(2 * time.Hour)
	before := len(w.kept)
	w.run(3 * control.DefaultRefresh)
	a.kill()
	w.kept = w.kept[before:] // this is what a node reads when it starts
	w.run(time.Minute)
	w.add("b")
	w.wantBlocked("bob", true)
}
