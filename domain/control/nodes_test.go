package control_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

func system(name string) domain.System {
	s, err := domain.ParseSystem(name)
	if err != nil {
		panic(err)
	}
	return s
}

var chat = control.Place{System: system("chat")}

func (n *node) attach(user string, delta int) { n.Attach(n.clock(), chat, user, delta) }

// wantPresent checks who all living nodes take to be there.
func (w *world) wantPresent(users ...string) {
	w.t.Helper()
	want := strings.Join(users, " ")
	for _, n := range w.nodes {
		if n.gone || n.frozen {
			continue
		}
		page := n.Who(chat, "", 1000)
		var got []string
		for _, u := range page.Users {
			got = append(got, u.User)
		}
		if strings.Join(got, " ") != want || !page.Complete {
			w.t.Errorf("at %v %s sees %q, complete %v, want %q", w.now, n.name, got, page.Complete, want)
		}
	}
}

func TestANodeThatIsKilledIsDeadInTimeAndItsRowsAreGone(t *testing.T) {
	w := newWorld(t, 3)
	a, b := w.add("a"), w.add("b")
	w.add("c")
	a.attach("alice", 1)
	b.attach("alice", 1)
	b.attach("bob", 2)
	w.run(3 * time.Second)
	w.wantPresent("alice", "bob")
	b.kill()
	w.run(14 * time.Second)
	w.wantNodes("a", "b", "c")
	for a.Stats().Deaths == 0 && w.now < 25*time.Second {
		w.run(step)
	}
	w.run(time.Second)
	w.wantNodes("a", "c")
	w.wantPresent("alice", "bob") // grace
	w.run(3 * time.Second)
	if w.now > 25*time.Second {
		t.Errorf("b was killed at 3 s, and is gone at %v", w.now)
	}
	w.wantPresent("alice")
	if deaths := a.Stats().Deaths; deaths != 1 {
		t.Errorf("%d deaths", deaths)
	}
}

func TestANodeThatSaysByeIsGoneAtOnce(t *testing.T) {
	w := newWorld(t, 4)
	w.add("a")
	b := w.add("b")
	b.attach("bob", 1)
	w.run(3 * time.Second)
	b.Leave(b.clock())
	w.run(300 * time.Millisecond)
	b.kill()
	if b.Flush(b.clock()) != nil {
		t.Error("it speaks after its bye")
	}
	w.wantNodes("a")
	w.run(control.DefaultGrace + step)
	w.wantPresent()
	replay(w, "b")
	w.wantNodes("a")
	w.wantPresent()
}

// replay brings everything again that a node has ever said.
func replay(w *world, name string) {
	for _, text := range w.kept {
		if strings.Contains(text, `"node":"`+name+`"`) {
			for _, n := range w.nodes {
				n.inbox = append(n.inbox, letter{w.now, text})
			}
		}
	}
	w.run(300 * time.Millisecond)
}

func TestReplaysReviveNoDeadNode(t *testing.T) {
	w := newWorld(t, 5)
	a, b := w.add("a"), w.add("b")
	w.add("c")
	b.attach("bob", 1)
	w.run(10 * time.Second)
	b.kill()
	w.run(30 * time.Second)
	replay(w, "b")
	w.wantNodes("a", "c")
	w.wantPresent()
	if a.Stats().Refused["stale"] == 0 {
		t.Error("nothing was counted")
	}
	// Another node that has never heard of b takes an old message of it for nothing, too.
	w.run(2 * time.Hour)
	late := w.add("late")
	w.run(2 * time.Second)
	late.receive(firstOf(w, "b"), false)
	w.wantNodes("a", "c", "late")
}

// Somebody says something in the name of a node, with a number that is far too great. What
// the node says itself still counts.
func TestAForgedNumberSilencesNobody(t *testing.T) {
	for name, seq := range map[string]uint64{"a little": 1000, "much": 1 << 28, "too much": 1 << 52} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 6)
			a, b := w.add("a"), w.add("b")
			b.attach("bob", 1)
			w.run(10 * time.Second)
			forged := numbered(firstOf(w, "b"), seq)
			for _, n := range w.nodes {
				n.inbox = append(n.inbox, letter{w.now, forged})
			}
			w.run(time.Minute)
			w.wantNodes("a", "b")
			w.wantPresent("bob")
			if deaths := a.Stats().Deaths; deaths != 0 {
				t.Errorf("%d nodes were declared dead", deaths)
			}
			b.attach("bea", 1)
			w.run(10 * time.Second)
			w.wantPresent("bea", "bob")
		})
	}
}

// numbered returns a message with another number.
func numbered(text string, seq uint64) string {
	return regexp.MustCompile(`"seq":\d+`).ReplaceAllString(text, fmt.Sprintf(`"seq":%d`, seq))
}

func firstOf(w *world, name string) string {
	for _, text := range w.kept {
		if strings.Contains(text, `"node":"`+name+`"`) {
			return text
		}
	}
	return ""
}

func TestAFrozenNodeIsDeadAndComesBackWithWhatItHas(t *testing.T) {
	for name, log := range map[string]bool{"log": true, "lossy": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 6)
			w.log = log
			a, b := w.add("a"), w.add("b")
			w.add("c")
			b.attach("bob", 1)
			a.attach("alice", 1)
			w.run(3 * time.Second)
			b.frozen = true
			if !log {
				w.lose = 1 // for b: the bus does not keep what it does not take
			}
			w.run(100 * time.Millisecond)
			w.lose = 0
			w.run(40 * time.Second)
			w.wantNodes("a", "c")
			a.block("bob", time.Hour)
			w.run(time.Second)
			b.frozen = false
			w.run(15 * time.Second)
			w.wantNodes("a", "b", "c")
			w.wantBlocked("bob", true)
			w.wantPresent("alice", "bob")
			if deaths := b.Stats().Deaths; deaths != 0 {
				t.Errorf("it has declared %d dead while it was frozen", deaths)
			}
			if len(b.effects) != 1 {
				t.Errorf("it has to do %v", b.effects)
			}
		})
	}
}

func TestABusThatIsDownForAMinuteKillsNobody(t *testing.T) {
	for _, told := range []bool{true, false} {
		w := newWorld(t, 7)
		a, b := w.add("a"), w.add("b")
		w.add("c")
		b.attach("bob", 1)
		w.run(10 * time.Second)
		w.up = false
		for _, n := range w.nodes {
			if told {
				n.SetBusUp(n.clock(), false)
			}
		}
		w.run(10 * time.Second)
		a.attach("alice", 1)
		a.block("carol", time.Hour)
		w.run(50 * time.Second)
		w.wantNodes("a", "b", "c")
		w.up = true
		for _, n := range w.nodes {
			n.SetBusUp(n.clock(), true)
		}
		w.run(8 * time.Second)
		w.wantNodes("a", "b", "c")
		w.wantBlocked("carol", true)
		w.wantPresent("alice", "bob")
		for _, n := range w.nodes {
			if n.Stats().Deaths > 0 {
				t.Errorf("%s has declared %d nodes dead", n.name, n.Stats().Deaths)
			}
		}
	}
}

func TestASuccessorReplacesItsNodeBeforeThatIsDead(t *testing.T) {
	w := newWorld(t, 8)
	w.add("a")
	old := w.add("b")
	old.attach("bob", 1)
	w.run(5 * time.Second)
	old.kill()
	fresh := w.add("b")
	fresh.attach("carol", 1)
	w.run(control.DefaultHeartbeat*3/2 + time.Second)
	w.wantNodes("a", "b")
	w.run(control.DefaultGrace)
	w.wantPresent("carol")
}

func TestTwoNodesOfOneNameAreBothThere(t *testing.T) {
	w := newWorld(t, 9)
	w.add("a")
	w.add("b").attach("bob", 1)
	w.add("b").attach("carol", 1)
	w.run(20 * time.Second)
	w.add("c")
	w.run(15 * time.Second)
	w.wantNodes("a", "b", "b", "c")
	w.wantPresent("bob", "carol")
	for _, n := range w.nodes {
		if n.Stats().Deaths > 0 {
			t.Errorf("%s has declared %d nodes dead", n.name, n.Stats().Deaths)
		}
	}
}

func TestANodeThatMissesMessagesGetsInStepAgain(t *testing.T) {
	w := newWorld(t, 10)
	a, b := w.add("a"), w.add("b")
	w.run(3 * time.Second)
	for i := range 3000 {
		a.attach(strings.Repeat("x", 1+i%200)+string(rune('a'+i%26))+string(rune('A'+i/200)), 1)
	}
	w.lose = 1
	w.run(300 * time.Millisecond)
	w.lose = 0
	w.run(20 * time.Second)
	want := a.Who(chat, "", 10_000)
	if got := b.Who(chat, "", 10_000); got.Count != want.Count || !got.Complete || want.Count < 1000 {
		t.Errorf("b sees %d, complete %v, want %d", got.Count, got.Complete, want.Count)
	}
	if s := a.Stats(); s.Snapshots == 0 || s.Snapshots > 5 {
		t.Errorf("%d snapshots", s.Snapshots)
	}
	b.Gap(b.clock())
	if b.Complete() {
		t.Error("it is in step behind a gap")
	}
	w.run(6 * time.Second)
	if s := a.Stats(); !b.Complete() || s.Snapshots > 5 {
		t.Errorf("in step %v, %d snapshots", b.Complete(), s.Snapshots)
	}
}
