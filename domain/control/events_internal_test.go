package control

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

func ids(events []Event) (ids []string) {
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

// TestNodesGiveAnEventTheSameID has two nodes see the same messages, one of which is of
// the first node itself, at other times and by other clocks.
func TestNodesGiveAnEventTheSameID(t *testing.T) {
	a, b := newPresence(testConfig(testGrace)), newPresence(testConfig(testGrace))
	system := Place{System: chat}
	for _, at := range []Place{system, lobby} {
		a.add(second(0), at, "alice", 1, cause{"a", 1})
		b.set(second(100.1), 5, row{at, "alice", 1}, cause{"a", 1})
		a.set(second(1), 2, row{at, "bob", 1}, cause{"c", 8})
		b.set(second(101), 3, row{at, "bob", 1}, cause{"c", 8})
		a.takeDirty(1000)
		a.add(second(2), at, "alice", -1, cause{"a", 2})
		b.set(second(102), 5, row{at, "alice", 0}, cause{"a", 2})
	}
	a.drop(second(3), 2, cause{"c", 9})
	b.drop(second(103.5), 3, cause{"c", 9})
	a.tick(second(10))
	b.tick(second(110))
	a.speak(second(10), 0, math.MaxUint64)
	b.speak(second(110), 0, math.MaxUint64)
	got, want := ids(a.events(100)), ids(b.events(100))
	if len(got) != 6 || !slices.Equal(got, want) {
		t.Errorf("ids are %v and %v, want 6 that are the same", got, want)
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 6 {
		t.Errorf("ids are not unique: %v", got)
	}
}

// A consumer that knows the ids it has seen must not take the second time that somebody
// comes for the first one.
func TestEventsThatNobodyHeardOfHaveIDsOfTheirOwn(t *testing.T) {
	p := newPresence(testConfig(0))
	p.speak(second(0), 0, math.MaxUint64)
	for i := range 5 { // the bus cannot be reached: the next message stays the next
		p.add(second(float64(i)), Place{System: chat}, "alice", 1, cause{"a", 1})
		p.add(second(float64(i)), Place{System: chat}, "alice", -1, cause{"a", 1})
	}
	got := ids(p.events(100))
	slices.Sort(got)
	if n := len(got); n != 10 || len(slices.Compact(got)) != 10 {
		t.Errorf("%d events, ids %v", n, got)
	}
}

func TestEventsStayUntilTheyAreSpoken(t *testing.T) {
	p := newPresence(testConfig(0))
	come := func(s float64, user string) {
		p.add(second(s), Place{System: chat}, user, 1, cause{"a", uint64(s)})
	}
	come(1, "alice")
	if e := p.events(10); e != nil || p.unspoken(second(2)) != 0 {
		t.Errorf("a node that is not the speaker has %v to say", e)
	}
	p.speak(second(2), 0, math.MaxUint64)
	come(2, "bob")
	come(3, "carol")
	first := p.events(2)
	if len(first) != 2 || first[0].User != "alice" || first[0].Time != 1_000_000_001_000 {
		t.Errorf("events are %+v", first)
	}
	if got := p.events(2); !slices.Equal(got, first) {
		t.Errorf("not spoken, they are %+v then", got)
	}
	p.spoken(2)
	p.spoken(2) // twice is once
	if got := p.events(2); len(got) != 1 || got[0].User != "carol" {
		t.Errorf("then follows %+v", got)
	}
	// What is not published is not forgotten by its age.
	p.tick(second(300))
	if age := p.unspoken(second(300)); age != 297*time.Second {
		t.Errorf("the oldest is %v old", age)
	}
	p.spoken(100)
	p.tick(second(300))
	if n := len(p.journal.all); n > 0 || p.unspoken(second(300)) != 0 {
		t.Errorf("%d are kept", n)
	}
}

func TestSpeakingAnewIgnoresWhatIsUnderway(t *testing.T) {
	p := newPresence(testConfig(0))
	p.speak(second(0), 0, math.MaxUint64)
	p.add(second(1), Place{System: chat}, "alice", 1, cause{})
	p.events(1)
	p.mute(false)
	p.speak(second(2), 0, math.MaxUint64)
	if p.spoken(1); len(p.events(10)) != 1 {
		t.Error("an answer to the former speaker's part counts")
	}
	p.speak(second(3), 3*time.Second, math.MaxUint64)
	if len(p.events(10)) != 1 {
		t.Error("to begin to speak twice skips events")
	}
}

func TestTheJournalIsBounded(t *testing.T) {
	p := newPresence(testConfig(0))
	p.speak(second(0), 0, math.MaxUint64)
	add := func(n int) {
		for i := range n {
			p.journal.add(transition{mono: time.Second, kind: Online, user: fmt.Sprint(i)}, second(1))
		}
	}
	add(journalSize + 5)
	if first := p.events(10)[0].User; first != "5" {
		t.Errorf("the oldest that is kept is %s", first)
	}
	add(5) // the oldest five of the ten, which are being published, are forgotten
	p.spoken(10)
	if n := len(p.journal.all); n != journalSize || p.events(1)[0].User != "15" {
		t.Errorf("%d are kept, next is %v", n, p.events(1))
	}
	p.mute(false)
	p.tick(second(61))
	if n := len(p.journal.all); n != journalSize {
		t.Errorf("after a minute %d are kept", n)
	}
	if p.tick(second(62)); len(p.journal.all) != 0 {
		t.Errorf("after more than a minute %d are kept", len(p.journal.all))
	}
	p.speak(second(63), 0, math.MaxUint64)
	add(1)
	if len(p.events(10)) != 1 {
		t.Error("the journal does not go on")
	}
}

func TestOnlySystemsWithEventsHaveThem(t *testing.T) {
	cfg := testConfig(0)
	cfg.Events = func(s domain.System) bool { return s != chat }
	for _, events := range []func(domain.System) bool{cfg.Events, nil} {
		cfg.Events = events
		p := newPresence(cfg)
		p.add(second(0), Place{System: chat}, "alice", 1, cause{})
		if len(p.journal.all) > 0 {
			t.Error("an event of a system without events is kept")
		}
	}
}

// handover is two nodes that hear the same messages, each at its own time, of which one
// speaks. It notes what was said.
type handover struct {
	random  *rand.Rand
	nodes   [2]*presence
	due     [2][]float64 // when a node hears the next messages
	heard   [2]int       // messages
	speaker int
	said    map[string]int
	// The speaker's last heartbeat, as the other node has heard it.
	beat     float64
	unspoken time.Duration
}

// clock is a node's clock: they began at different times.
func (h *handover) clock(node int, s float64) Now { return second(s + float64(node)*1000) }

func (h *handover) publish(s float64) {
	for i := range h.nodes {
		at := s + h.random.Float64()/2
		if n := len(h.due[i]); n > 0 {
			at = max(at, h.due[i][n-1])
		}
		h.due[i] = append(h.due[i], at)
	}
}

func (h *handover) hear(s float64) {
	for i, p := range h.nodes {
		for h.heard[i] < len(h.due[i]) && h.due[i][h.heard[i]] <= s {
			h.heard[i]++
			r := row{Place{System: chat}, fmt.Sprint(h.heard[i]), 1}
			p.set(h.clock(i, s), 1, r, cause{"a", uint64(h.heard[i])})
		}
	}
}

func (h *handover) speak(confirm bool) {
	events := h.nodes[h.speaker].events(10)
	for _, e := range events {
		h.said[e.ID]++
	}
	if confirm {
		h.nodes[h.speaker].spoken(len(events))
	}
}

func (h *handover) heartbeat(s float64) {
	h.beat = s + h.random.Float64()/2
	h.unspoken = h.nodes[h.speaker].unspoken(h.clock(h.speaker, s))
}

// die makes the other node the speaker, as the spec of speak says.
func (h *handover) die(s float64) {
	h.nodes[h.speaker].mute(false)
	h.speaker = 1 - h.speaker
	beat := h.clock(h.speaker, h.beat).Mono
	h.nodes[h.speaker].speak(h.clock(h.speaker, s), beat-h.unspoken-time.Second, math.MaxUint64)
	h.heartbeat(s)
}

// TestASpeakerThatDiesLeavesNothingUnsaid lets speakers die at any moment, also when they
// have published and do not know it.
func TestASpeakerThatDiesLeavesNothingUnsaid(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h := handover{random: rand.New(rand.NewPCG(seed, 0)), said: map[string]int{}}
	for i := range h.nodes {
		h.nodes[i] = newPresence(testConfig(0))
		h.nodes[i].cfg.Rows = 1 << 20
	}
	h.nodes[0].speak(h.clock(0, 0), 0, math.MaxUint64)
	for s := 0.0; s < 600; s += 0.1 {
		for range h.random.IntN(3) {
			h.publish(s)
		}
		h.hear(s)
		if h.random.IntN(3) == 0 {
			h.speak(h.random.IntN(4) > 0)
		}
		if h.random.IntN(50) == 0 {
			h.heartbeat(s)
		}
		if h.random.IntN(200) == 0 {
			h.die(s)
		}
	}
	for h.hear(700); h.nodes[h.speaker].unspoken(h.clock(h.speaker, 700)) > 0; {
		h.speak(true)
	}
	users, times := h.heard[0], 0
	for _, n := range h.said {
		times += n
	}
	t.Logf("%d events were said %d times", users, times)
	if len(h.said) != users || times > 4*users {
		t.Errorf("of %d events %d were said, %d times; want all, at most 4 times each", users,
			len(h.said), times)
	}
}
