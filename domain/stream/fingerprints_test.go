package stream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A lossyNode is a Stream on a bus without a log, with its own clock.
type lossyNode struct {
	*fixture
	now time.Time
}

// lossyNodes returns streams that have listened for as long as they remember
// ids.
func lossyNodes(t *testing.T, n int) []*lossyNode {
	nodes := make([]*lossyNode, n)
	for i := range nodes {
		nodes[i] = lossyNodeWith(t, stream.Config{})
		nodes[i].now = nodes[i].now.Add(3 * time.Minute)
	}
	return nodes
}

func lossyNodeWith(t *testing.T, cfg stream.Config) *lossyNode {
	n := &lossyNode{now: time.Unix(1_700_000_000, 0)}
	cfg.Now = func() time.Time { return n.now }
	n.fixture = newFixture(t, cfg)
	n.start(0, "", time.Time{})
	return n
}

// hear delivers messages to alice with their numbers as fingerprints.
func (n *lossyNode) hear(numbers ...int) {
	for _, i := range numbers {
		n.recordWith(domain.Fingerprint(i), time.Time{}, message(fmt.Sprint("id-", i), fmt.Sprint(i), "user:alice"))
	}
}

// last is the cursor of the last frame that the session was offered.
func (s *session) last() domain.Cursor { return s.cursors[len(s.cursors)-1] }

// data returns the frames without their positions, which are each node's own.
func (s *session) data() (all []string) {
	for _, f := range s.frames {
		var a, b, c string
		fmt.Sscan(f, &a, &b, &c)
		if a == "gap" {
			c = a + " " + b
		}
		all = append(all, c)
	}
	return all
}

func (s *session) saw(t *testing.T, want ...string) {
	t.Helper()
	if got := s.data(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("session got %q, want %q", got, want)
	}
}

func TestWithoutALogASessionGoesOnOnAnotherNode(t *testing.T) {
	nodes := lossyNodes(t, 2)
	a, b := nodes[0], nodes[1]
	b.hear(1, 2, 3, 4)
	first := a.attach("user:alice")
	a.hear(2, 3)
	first.saw(t, "2", "3")

	second := b.attachAt("user:alice", first.last())
	if !second.resumed {
		t.Error("it did not resume")
	}
	b.hear(5)
	second.saw(t, "4", "5")

	a.hear(4, 5)
	back := a.attachAt("user:alice", second.last())
	a.hear(6)
	back.saw(t, "6")
}

func TestAFingerprintLeadsOnOnlyWhereItProvesSomething(t *testing.T) {
	since := domain.Cursor{Log: 99, Position: pos(1), Time: time.Unix(1, 0), ID: 2}
	for _, c := range []struct {
		name    string
		cfg     stream.Config
		prepare func(n *lossyNode)
		since   domain.Cursor
		want    []string
	}{
		{"known", stream.Config{}, func(n *lossyNode) { n.hear(1, 2, 3) }, since, []string{"3"}},
		{"not known", stream.Config{}, func(n *lossyNode) { n.hear(1, 3) }, since, []string{"gap lossy"}},
		{"a cursor without one", stream.Config{}, func(n *lossyNode) { n.hear(1, 2, 3) },
			domain.Cursor{Log: 99, Position: pos(1)}, []string{"gap lossy"}},
		{"of a message, as if there were a log", stream.Config{}, func(n *lossyNode) { n.hear(1, 2, 3) },
			domain.Cursor{Log: 99, Position: pos(1), ID: domain.HashID("id-2")}, []string{"gap lossy"}},
		{"a gap behind it", stream.Config{}, func(n *lossyNode) {
			n.hear(1, 2)
			n.gap(domain.Lossy, 0, "", time.Time{})
			n.hear(3)
		}, since, []string{"gap lossy", "3"}},
		{"a gap before it, so that repetitions may not be recognised", stream.Config{}, func(n *lossyNode) {
			n.gap(domain.Lossy, 0, "", time.Time{})
			n.hear(1, 2, 3)
		}, since, []string{"gap lossy"}},
		{"a gap long before it", stream.Config{}, func(n *lossyNode) {
			n.gap(domain.Lossy, 0, "", time.Time{})
			n.now = n.now.Add(2*time.Minute + 1)
			n.hear(1, 2, 3)
		}, since, []string{"3"}},
		{"a repetition that was dropped", stream.Config{}, func(n *lossyNode) {
			n.hear(1)
			n.recordWith(2, time.Time{}, message("id-1", "1", "user:alice"))
			n.hear(3)
		}, since, []string{"3"}},
		{"what was no message", stream.Config{}, func(n *lossyNode) {
			n.hear(1)
			n.poisonWith(2, time.Time{})
			n.hear(3)
		}, since, []string{"3"}},
		{"trimmed, with the point behind it still there", stream.Config{Messages: 2}, func(n *lossyNode) {
			n.hear(1, 2, 3, 4)
		}, since, []string{"3", "4"}},
		{"trimmed", stream.Config{Messages: 2}, func(n *lossyNode) { n.hear(1, 2, 3, 4, 5) }, since, []string{"gap lossy"}},
		{"forgotten, as there are too many", stream.Config{Messages: 2}, func(n *lossyNode) {
			n.hear(2)
			n.poisonWith(3, time.Time{})
			n.poisonWith(4, time.Time{})
			n.poisonWith(5, time.Time{})
		}, since, []string{"gap lossy"}},
		{"the newest before a long time, and one behind it", stream.Config{}, func(n *lossyNode) {
			n.hear(1, 2)
			n.now = n.now.Add(time.Hour)
			n.hear(3)
		}, since, []string{"3"}},
		{"the newest, and nothing since for a long time", stream.Config{}, func(n *lossyNode) {
			n.hear(1, 2)
			n.now = n.now.Add(time.Hour)
			n.Sweep()
		}, since, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := lossyNodeWith(t, c.cfg)
			n.now = n.now.Add(3 * time.Minute)
			c.prepare(n)
			n.attachAt("user:alice", c.since).saw(t, c.want...)
		})
	}
}

func TestAFingerprintLeadsNowhereOnANodeThatHasJustBegun(t *testing.T) {
	n := lossyNodeWith(t, stream.Config{DedupeAge: time.Minute})
	n.hear(1, 2, 3)
	n.now = n.now.Add(time.Minute + 1)
	n.hear(4, 5)
	n.attachAt("user:alice", domain.Cursor{Log: 99, Position: pos(1), ID: 2}).saw(t, "gap lossy")
	n.attachAt("user:alice", domain.Cursor{Log: 99, Position: pos(1), ID: 4}).saw(t, "5")
}

func TestAFingerprintAheadOfThisNodeIsWaitedFor(t *testing.T) {
	for _, ahead := range []time.Duration{0, time.Hour, -900 * time.Millisecond} { // of the other node's clock
		n := lossyNodes(t, 1)[0]
		n.hear(1)
		s := n.attachAt("user:alice", domain.Cursor{Log: 99, Position: pos(1), Time: n.now.Add(ahead), ID: 3})
		if !s.resumed {
			t.Error("it does not wait")
		}
		n.hear(2)
		s.saw(t)
		n.hear(3, 4)
		s.saw(t, "4")
	}
}

func TestAFingerprintThatDoesNotComeIsAGap(t *testing.T) {
	n := lossyNodes(t, 1)[0]
	n.hear(1)
	s := n.attachAt("user:alice", domain.Cursor{Log: 99, Position: pos(1), Time: n.now.Add(time.Hour), ID: 3})
	old := n.attachAt("user:alice", domain.Cursor{Log: 99, Position: pos(1), Time: n.now.Add(-time.Second), ID: 3})
	old.saw(t, "gap lossy")
	n.now = n.now.Add(999 * time.Millisecond)
	n.hear(2)
	s.saw(t)
	n.now = n.now.Add(time.Millisecond)
	n.Sweep()
	n.hear(3)
	s.saw(t, "gap lossy", "3")
}

func TestAGapAndASilenceHaveTheFingerprintBeforeThem(t *testing.T) {
	nodes := lossyNodes(t, 2)
	a, b := nodes[0], nodes[1]
	s := a.attach("user:alice")
	a.hear(1)
	a.gap(domain.Lossy, 0, "", time.Time{})
	b.hear(1, 2, 3)
	at, ok := s.Cursor()
	if !ok {
		t.Fatal("it has no cursor")
	}
	b.attachAt("user:alice", at).saw(t, "2", "3") // what node a lost, too
}
