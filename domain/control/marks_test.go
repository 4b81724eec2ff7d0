package control_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
)

var orders = mustSystem("orders")

func mustSystem(name string) domain.System {
	s, err := domain.ParseSystem(name)
	if err != nil {
		panic(err)
	}
	return s
}

func place(n int) domain.Position { return domain.Position(fmt.Sprintf("%08d", n)) }

// mark says that a session has acked up to a number.
func (n *node) mark(session, user string, acked int) {
	p := place(acked)
	n.Mark(n.clock(), control.Mark{
		Session: session, User: user, System: orders, Log: 7, From: place(1),
		Offered: p, Written: p, Acked: p, WrittenAt: n.clock().Wall, AckedAt: n.clock().Wall,
	})
}

// marks returns what a node knows of a user's sessions, by session.
func (n *node) marks(user string) map[string]control.Mark {
	all := map[string]control.Mark{}
	n.Marks(orders, user, func(m *control.Mark, _, alive bool) {
		all[fmt.Sprintf("%s on %s alive %v", m.Session, m.Node, alive)] = *m
	})
	return all
}

func (n *node) wantAcked(t *testing.T, user, key string, want int) {
	t.Helper()
	if got, ok := n.marks(user)[key]; !ok || got.Acked != place(want) {
		t.Errorf("%s knows %+v of %s, want %q acked up to %d", n.name, n.marks(user), user, key, want)
	}
}

func TestMarkFate(t *testing.T) {
	m := control.Mark{
		Log: 7, From: place(10), Offered: place(40), Written: place(30), Acked: place(20),
		Skips: []control.Skip{
			{From: place(15), UpTo: place(16), Reason: "overflow"},
			{From: place(25), UpTo: place(25), Reason: control.SkipExpired},
		},
	}
	ended := m
	ended.Ended, ended.Until = 1, place(45)
	blurred := m
	blurred.Blurred = true
	for _, c := range []struct {
		of   control.Mark
		log  domain.LogID
		at   int
		want string
	}{
		{m, 7, 9, ""}, {m, 7, 10, "acked"}, {m, 7, 15, "gap overflow"}, {m, 7, 16, "gap overflow"},
		{m, 7, 20, "acked"}, {m, 7, 21, "written"}, {m, 7, 25, "expired"}, {m, 7, 30, "written"},
		{m, 7, 31, "pending"}, {m, 7, 99, "pending"}, {m, 8, 20, "unknown"},
		{ended, 7, 20, "acked"}, {ended, 7, 41, "ended"}, {ended, 7, 46, ""},
		{blurred, 7, 9, "unknown"}, {blurred, 7, 10, "acked"},
	} {
		fate, reason := c.of.Fate(domain.Location{Log: c.log, Position: place(c.at)})
		got := string(fate)
		if reason != "" {
			got += " " + reason
		}
		if got != c.want {
			t.Errorf("ended %v, blurred %v: %d in log %d is %q, want %q",
				c.of.Ended, c.of.Blurred, c.at, c.log, got, c.want)
		}
	}
}

func TestMarkForgetsItsOldestSkipsHonestly(t *testing.T) {
	m := control.Mark{Log: 7, From: place(1), Offered: place(1000), Written: place(1000), Acked: place(1000)}
	for i := 1; i <= control.MaxSkips+1; i++ {
		m.Skip(control.Skip{From: place(10 * i), UpTo: place(10*i + 1), Reason: "overflow"})
	}
	want := map[int]control.Fate{
		5: control.FateUnknown, 10: control.FateUnknown, 12: control.FateAcked, 20: control.FateGap,
		90: control.FateGap, 99: control.FateAcked,
	}
	for at, fate := range want {
		if got, _ := m.Fate(domain.Location{Log: 7, Position: place(at)}); got != fate {
			t.Errorf("%d is %q, want %q", at, got, fate)
		}
	}
	n := len(m.Skips)
	m.Skip(control.Skip{From: control.After(place(91)), UpTo: place(95), Reason: "overflow"})
	if len(m.Skips) != n || m.Skips[n-1].UpTo != place(95) {
		t.Errorf("a skip that follows on another one is not joined with it: %+v", m.Skips)
	}
}

func TestSkipsOutOfOrderAreKept(t *testing.T) {
	m := control.Mark{Log: 7, From: place(1), Offered: place(99), Written: place(99), Acked: place(99)}
	fates := func() (text string) {
		for _, at := range []int{20, 30, 40, 50} {
			fate, _ := m.Fate(domain.Location{Log: 7, Position: place(at)})
			text += string(fate) + " "
		}
		return text
	}
	// The stream has come to 50, and then the session that is behind comes to 20 and to 40.
	for _, at := range []int{50, 20, 40} {
		m.Skip(control.Skip{From: place(at), UpTo: place(at), Reason: control.SkipExpired})
	}
	if got, want := fates(), "expired acked expired expired "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for at := 60; at < 60+control.MaxSkips-1; at++ { // 50 and 20 are forgotten, in this order
		m.Skip(control.Skip{From: place(at), UpTo: place(at), Reason: "overflow"})
		m.Skip(control.Skip{From: place(at), UpTo: place(at), Reason: "overflow"})
	}
	if got, want := fates(), "unknown unknown unknown unknown "; got != want {
		t.Errorf("when too many: got %s, want %s", got, want)
	}
}

func TestMarksReachOtherNodesAndOutliveTheirs(t *testing.T) {
	w := newWorld(t, 1)
	a, b := w.add("a"), w.add("b")
	w.run(2 * time.Second)
	a.mark("s1", "alice", 5)
	a.mark("s2", "alice", 7)
	a.mark("s3", "bob", 9)
	w.run(1500 * time.Millisecond)
	b.wantAcked(t, "alice", "s1 on a alive true", 5)
	b.wantAcked(t, "alice", "s2 on a alive true", 7)
	b.wantAcked(t, "bob", "s3 on a alive true", 9)
	w.run(20 * time.Minute) // it is said again, so nobody forgets it
	b.wantAcked(t, "alice", "s1 on a alive true", 5)
	a.mark("s1", "alice", 6)
	w.run(1500 * time.Millisecond)
	b.wantAcked(t, "alice", "s1 on a alive true", 6)

	a.kill()
	w.run(4 * time.Minute)
	b.wantAcked(t, "alice", "s1 on a alive false", 6)
	w.run(11 * time.Minute)
	if got := b.marks("alice"); len(got) > 0 {
		t.Errorf("b still knows %v", got)
	}
	if s := b.Stats(); s.Marks != 0 {
		t.Errorf("b counts %d marks", s.Marks)
	}
}

func TestMarksOfEndedSessionsAreForgottenLater(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.add("a"), w.add("b")
	w.run(time.Second)
	a.mark("s1", "alice", 5)
	w.run(2 * time.Second)
	a.Mark(a.clock(), control.Mark{Session: "s1", User: "alice", System: orders, Log: 7, From: place(1),
		Acked: place(5), Written: place(5), Offered: place(5), Ended: a.clock().Wall, Until: place(6)})
	w.run(9 * time.Minute)
	a.wantAcked(t, "alice", "s1 on a alive true", 5)
	b.wantAcked(t, "alice", "s1 on a alive true", 5)
	w.run(2 * time.Minute)
	if len(a.marks("alice"))+len(b.marks("alice")) > 0 {
		t.Errorf("a knows %v and b %v", a.marks("alice"), b.marks("alice"))
	}
}

func TestNodeThatLeavesSaysItsMarksFirst(t *testing.T) {
	w := newWorld(t, 3)
	a, b := w.add("a"), w.add("b")
	w.run(2 * time.Second)
	for i := range 1000 {
		a.mark(fmt.Sprintf("s%d", i), "alice", 5)
	}
	a.Leave(a.clock())
	w.run(3 * time.Second)
	if got := len(b.marks("alice")); got != 1000 {
		t.Errorf("b knows %d of 1000 marks", got)
	}
	w.wantNodesAt(b, "b")
}

func (w *world) wantNodesAt(n *node, names ...string) {
	w.t.Helper()
	var got []string
	for _, info := range n.Nodes(n.clock()) {
		got = append(got, info.Name)
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		w.t.Errorf("%s knows %v, want %v", n.name, got, names)
	}
}

func TestMarksAreSaidAgainWhereTheyWereLost(t *testing.T) {
	w := newWorld(t, 4)
	w.lose = 0.2
	a, b := w.add("a"), w.add("b")
	w.run(5 * time.Second)
	for i := 1; i <= 300; i++ {
		a.mark("s1", "alice", i)
		w.run(step)
	}
	w.run(30 * time.Minute) // whatever was lost last is repeated
	b.wantAcked(t, "alice", "s1 on a alive true", 300)
}

func TestMarksAreBounded(t *testing.T) {
	w := newWorld(t, 5)
	few := func(c *control.Config, _ *node) { c.Marks = 10 }
	a, b := w.add("a", few), w.add("b", few)
	w.run(time.Second)
	for i := range 100 {
		a.mark(fmt.Sprintf("s%d", i), fmt.Sprintf("u%d", i), i+1)
		w.run(step)
	}
	w.run(2 * time.Second)
	for _, n := range []*node{a, b} {
		if s := n.Stats(); s.Marks != 10 || s.MarksLost == 0 {
			t.Errorf("%s has %d marks and lost %d", n.name, s.Marks, s.MarksLost)
		}
		n.wantAcked(t, "u99", "s99 on a alive true", 100)
	}
}

func TestHurriedMarksAreSaidAtOnce(t *testing.T) {
	w := newWorld(t, 6)
	a, b := w.add("a"), w.add("b")
	w.run(2 * time.Second)
	a.mark("s1", "alice", 1)
	w.run(1500 * time.Millisecond)
	a.mark("s1", "alice", 2) // a round of marks has just been said
	w.run(step)
	a.mark("s1", "alice", 3)
	a.Hurry(a.clock(), orders, "alice", 10*time.Second)
	w.run(3 * step)
	b.wantAcked(t, "alice", "s1 on a alive true", 3)
	a.mark("s1", "alice", 4)
	w.run(3 * step)
	b.wantAcked(t, "alice", "s1 on a alive true", 4)
}

func TestNobodyElseSaysTheMarksOfANode(t *testing.T) {
	w := newWorld(t, 7)
	w.forged = true
	a, b := w.add("a"), w.add("b")
	w.run(2 * time.Second)
	a.mark("s1", "alice", 1)
	w.run(2 * time.Second)
	b.mark("s1", "alice", 9)
	w.run(2 * time.Second)
	a.wantAcked(t, "alice", "s1 on a alive true", 1)
	if a.Stats().Refused["foreign_mark"] == 0 {
		t.Error("a does not count that another node has said its mark")
	}
}

// TestMarksCostMessagesBySecondsAndNotByMessages has every session of three nodes change
// its mark ten times a second.
func TestMarksCostMessagesBySecondsAndNotByMessages(t *testing.T) {
	const sessions, seconds = 1000, 20
	rate := func(marked bool) float64 {
		w := newWorld(t, 8)
		nodes := []*node{w.add("a"), w.add("b"), w.add("c")}
		w.run(30 * time.Second)
		before := w.messages
		for i := range 10 * seconds {
			for s := range sessions {
				if marked {
					nodes[s%3].mark(fmt.Sprintf("01K8ZZZZZZZZZZZZZZZZZZZZ%04d", s), fmt.Sprintf("user%d", s), i+1)
				}
			}
			w.run(step)
		}
		for s := range sessions {
			if marked && len(nodes[(s+1)%3].marks(fmt.Sprintf("user%d", s))) != 1 {
				t.Fatalf("the mark of session %d has not come", s)
			}
		}
		return float64(w.messages-before) / seconds
	}
	quiet, busy := rate(false), rate(true)
	t.Logf("%.1f messages a second without marks, %.1f with them", quiet, busy)
	if busy-quiet > 15 {
		t.Errorf("marks cost %.1f messages a second, want at most 15", busy-quiet)
	}
}
