package stream_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

const logB = domain.LogID(0xB)

// A carried record is what a moved bus carried: on the old log, on the new one, or as a
// copy on both.
type carried struct {
	a, b int // its number there; 0 if it was never there
	data string
	late bool // copied after the move
}

// The records of one system, in the order that counts. The bus was moved behind
// number 6 of the old log, at number 7 of the new one.
var moving = []carried{
	{a: 1, b: 2, data: "one"}, {a: 2, b: 3, data: "two"}, {a: 3, b: 4, data: "three"}, {a: 5, b: 5, data: "five"}, {a: 6, b: 6, data: "six"},
	{a: 7, b: 7}, // the position of the move
	{b: 8, data: "eight"}, {a: 8, b: 9, data: "nine", late: true}, {b: 10, data: "ten"},
}

// A node reads the records as one that was set up in a certain way does.
type node struct {
	*fixture
	lived bool      // through the move
	seen  []carried // delivered so far
}

// stayed reads the old log up to the move, and then the new one.
func stayed(t *testing.T, cfg stream.Config, upTo int) *node {
	cfg.HasLog = true
	n := &node{fixture: newFixture(t, cfg), lived: true}
	n.Step(&domain.Entry{Kind: domain.Start, Log: logA, Position: pos(0), Next: logB}, nil)
	for _, r := range moving[:upTo] {
		switch {
		case r.data == "":
			n.moved(logB, pos(r.b), time.Time{}, pos(r.b), domain.Location{Log: logA, Position: pos(r.a)})
		case r.a > 0 && !r.late:
			n.record(pos(r.a), time.Time{}, message(r.data, r.data, "user:alice"))
		default:
			n.record(pos(r.b), time.Time{}, message(r.data, r.data, "user:alice"))
		}
		n.seen = append(n.seen, r)
	}
	return n
}

// came reads the new log alone, from a record on.
func came(t *testing.T, cfg stream.Config, from, upTo int) *node {
	cfg.HasLog = true
	n := &node{fixture: newFixture(t, cfg)}
	n.start(logB, pos(moving[from].b-1), time.Time{})
	for _, r := range moving[from:upTo] {
		was := []domain.Location{{Log: logA, Position: pos(r.a)}}
		switch {
		case r.data == "":
			n.moved(logB, pos(r.b), time.Time{}, pos(r.b), was...)
		case r.a > 0 && !r.late:
			n.record(pos(r.b), time.Time{}, message(r.data, r.data, "user:alice"), was...)
		default:
			n.record(pos(r.b), time.Time{}, message(r.data, r.data, "user:alice"))
		}
	}
	n.seen = moving[from:upTo]
	return n
}

// cursors returns those that a session gets on the node, with what follows each.
func (n *node) cursors(t *testing.T) map[string]domain.Cursor {
	s := n.join(domain.Cursor{Log: n.first().Log, Position: n.first().Position}, "user:alice")
	s.Fill()
	all := make(map[string]domain.Cursor)
	for i, f := range s.frames {
		var at, to, data string
		if _, err := fmt.Sscan(f, &at, &to, &data); err != nil || at == "gap" {
			t.Fatalf("the session was told %q", f)
		}
		all[data] = s.cursors[i]
	}
	return all
}

// first is the position before the first record that the node has seen.
func (n *node) first() domain.Location {
	if r := n.seen[0]; n.lived {
		return domain.Location{Log: logA, Position: pos(r.a - 1)}
	}
	return domain.Location{Log: logB, Position: pos(n.seen[0].b - 1)}
}

func after(data string, upTo int) (rest []string) {
	i := slices.IndexFunc(moving, func(r carried) bool { return r.data == data })
	for _, r := range moving[i+1 : upTo] {
		if r.data != "" {
			rest = append(rest, r.data)
		}
	}
	return rest
}

// Whatever node gave a cursor, a node that stayed through the move, or came
// later and has the position, goes on behind it exactly.
func TestCursorsOutliveAMove(t *testing.T) {
	end := len(moving)
	nodes := map[string]*node{
		"stayed": stayed(t, stream.Config{}, end),
		"came":   came(t, stream.Config{}, 0, end),
		"later":  came(t, stream.Config{}, 2, end),
	}
	for from, giver := range map[string]*node{"stayed": nodes["stayed"], "came": nodes["came"]} {
		for data, cursor := range giver.cursors(t) {
			for to, taker := range nodes {
				copied := slices.Contains([]string{"one", "two", "three", "five", "six"}, data)
				if to == "stayed" && from == "came" && copied || to == "later" && (data == "one" || data == "two" && from == "stayed") {
					continue // its window has no such position; tested below
				}
				s := taker.attachAt("user:alice", cursor)
				var got []string
				for _, f := range s.frames {
					var at, who, what string
					fmt.Sscan(f, &at, &who, &what)
					got = append(got, what)
				}
				if diff := cmp.Diff(after(data, end), got, cmpopts.EquateEmpty()); diff != "" || !s.resumed {
					t.Errorf("the cursor of %q from %q, on %q: resumed %v (-want +got):\n%s", data, from, to, s.resumed, diff)
				}
			}
		}
	}
}

// Nodes pass the move at different times: a cursor that is beyond it waits for
// the node to get there, in whichever log it is.
func TestCursorFromANodeThatIsFurtherWaits(t *testing.T) {
	for name, n := range map[string]*node{"stays": stayed(t, stream.Config{}, 4), "stays, right before": stayed(t, stream.Config{}, 5)} {
		s := n.attachAt("user:alice", domain.Cursor{Log: logB, Position: pos(8), ID: domain.HashID("eight")})
		for _, r := range moving[len(n.seen):] {
			switch {
			case r.data == "":
				n.moved(logB, pos(r.b), time.Time{}, pos(r.b), domain.Location{Log: logA, Position: pos(r.a)})
			case r.b > 7:
				n.record(pos(r.b), time.Time{}, message(r.data, r.data, "user:alice"))
			default:
				n.record(pos(r.a), time.Time{}, message(r.data, r.data, "user:alice"))
			}
		}
		t.Log(name)
		s.gotData(t, "nine", "ten")
	}
}

func TestCursorAheadOfTheCopiesWaits(t *testing.T) {
	n := came(t, stream.Config{}, 0, 3)
	s := n.attachAt("user:alice", domain.Cursor{Log: logA, Position: pos(5), ID: domain.HashID("five")})
	for _, r := range moving[3:5] {
		n.record(pos(r.b), time.Time{}, message(r.data, r.data, "user:alice"), domain.Location{Log: logA, Position: pos(r.a)})
	}
	s.gotData(t, "six")
}

// What no copy proves is told as a gap, and what is new comes behind it.
func TestWhatAMoveCannotProveIsAGap(t *testing.T) {
	end := len(moving)
	for name, c := range map[string]struct {
		n     *node
		since domain.Cursor
		want  []string
	}{
		"beyond the move in the old log":  {stayed(t, stream.Config{}, end), domain.Cursor{Log: logA, Position: pos(8)}, []string{"gap unknown_cursor 10"}},
		"the same, on one that came":      {came(t, stream.Config{}, 0, end), domain.Cursor{Log: logA, Position: pos(8)}, []string{"gap unknown_cursor 10"}},
		"another message at the position": {came(t, stream.Config{}, 0, end), domain.Cursor{Log: logA, Position: pos(3), ID: 7}, []string{"gap unknown_cursor 10"}},
		"a copy, on a node that has read the original": {stayed(t, stream.Config{}, end), domain.Cursor{Log: logB, Position: pos(6)},
			[]string{"gap trimmed 7", "8 user:alice eight", "9 user:alice nine", "10 user:alice ten"}},
		"a log that nothing was copied from": {came(t, stream.Config{}, 0, end), domain.Cursor{Log: 0xC, Position: pos(3)}, []string{"gap unknown_cursor 10"}},
	} {
		s := c.n.attachAt("user:alice", c.since)
		lookUp(c.n.Stream, nil)
		t.Log(name)
		s.got(t, c.want...)
	}
}

// A position between two copies is proven by both: nothing was between them.
func TestPlaceBetweenCopiesIsKnown(t *testing.T) {
	n := came(t, stream.Config{}, 0, len(moving))
	s := n.attachAt("user:alice", domain.Cursor{Log: logA, Position: pos(4)})
	s.gotData(t, "five", "six", "eight", "nine", "ten")
}

// A gap among copies is crossed by everyone who comes from before it.
func TestGapAmongCopiesIsCrossed(t *testing.T) {
	n := came(t, stream.Config{}, 0, 3)
	n.gap(domain.Trimmed, logB, pos(4), time.Time{})
	n.record(pos(5), time.Time{}, message("five", "five", "user:alice"), domain.Location{Log: logA, Position: pos(5)})
	for _, at := range []int{1, 2, 3, 4} {
		s := n.attachAt("user:alice", domain.Cursor{Log: logA, Position: pos(at)})
		if !slices.Contains(s.frames, "gap trimmed 4") || s.frames[len(s.frames)-1] != "5 user:alice five" {
			t.Errorf("from %d the session got %v", at, s.frames)
		}
	}
	n.attachAt("user:alice", domain.Cursor{Log: logA, Position: pos(5)}).got(t)
}

// A node that has none of the copies any more asks for the position in its log, and
// then reads on from there as for any cursor.
func TestPlaceIsLookedUpInTheLog(t *testing.T) {
	s := withPast(t, stream.Config{Messages: 3})
	for i := 1; i <= 9; i++ {
		s.deliver(i, fmt.Sprint(i), "user:alice")
	}
	old := domain.Cursor{Log: 0xC, Position: pos(400), Time: time.Now()}
	first, second := s.attachAt("user:alice", old), s.attachAt("user:alice", old)
	stranger := s.attachAt("user:alice", domain.Cursor{Log: 0xD, Position: pos(1)})
	wanted := lookUp(s.Stream, map[domain.Cursor]domain.Cursor{old: s.cursorAt(5)})
	if len(wanted) != 1 {
		t.Errorf("asked for %v, want each position once, and none of a log that nothing points to", wanted)
	}
	s.serve()
	first.gotData(t, "6", "7", "8", "9")
	second.gotData(t, "6", "7", "8", "9")
	stranger.got(t, "gap unknown_cursor 9")
}

// lookUp answers the stream's Lookup, and returns what was wanted.
func lookUp(s *stream.Stream, positions map[domain.Cursor]domain.Cursor) (wanted []domain.Cursor) {
	l, asked := s.NextLookup()
	if asked && l.Survey {
		var logs []domain.LogID
		for c := range positions {
			logs = append(logs, c.Log)
		}
		s.Surveyed(l, logs, true)
		l, asked = s.NextLookup()
	}
	if !asked {
		return nil
	}
	found := make([]domain.Cursor, len(l.Wanted))
	for i, c := range l.Wanted {
		found[i] = positions[c]
	}
	s.Found(l, found, 1)
	return l.Wanted
}

// Windows that are trimmed past the move keep what they need to know of it.
func TestMoveIsTrimmedWithTheWindow(t *testing.T) {
	for size := 2; size <= len(moving); size++ {
		n := stayed(t, stream.Config{Messages: size}, len(moving))
		s := n.attachAt("user:alice", domain.Cursor{Log: logA, Position: pos(6), ID: domain.HashID("six")})
		if size >= 4 { // the position of the move is in the window, or right before it
			s.gotData(t, "eight", "nine", "ten")
			continue
		}
		if len(s.frames) == 0 || s.frames[0][:3] != "gap" {
			t.Errorf("with %d entries the session got %v, want a gap first", size, s.frames)
		}
	}
}
