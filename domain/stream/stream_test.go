package stream_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

func TestMessageReachesItsTargetsOnly(t *testing.T) {
	s := begun(t, stream.Config{})
	alice, bob := s.attach("user:alice"), s.attach("user:bob", "room:ops")

	s.deliver(1, "a", "user:alice")
	s.deliver(2, "b", "room:ops", "user:bob")
	s.deliver(3, "c", "*")
	s.deliver(4, "d", "user:carol")

	alice.got(t, "1 user:alice a", "3 * c")
	bob.got(t, "2 room:ops b", "3 * c")
}

func TestSessionMatchedTwiceGetsAMessageOnce(t *testing.T) {
	s := begun(t, stream.Config{})
	alice := s.attach("user:alice", "room:ops")
	s.deliver(1, "a", "room:ops", "user:alice", "room:ops", "*")
	alice.got(t, "1 room:ops a")
}

func TestNothingIsOfferedBeforeTheFirstFill(t *testing.T) {
	s := begun(t, stream.Config{})
	alice := s.hold("user:alice", domain.Cursor{})
	s.deliver(1, "a", "user:alice")
	s.gap(domain.Lossy, logA, pos(2), time.Time{})
	alice.got(t)
	alice.Fill()
	alice.got(t, "1 user:alice a", "gap lossy 2")
}

func TestFullOutboxCostsAPlaceAndNoMessage(t *testing.T) {
	s := begun(t, stream.Config{})
	slow, quick := s.attach("user:alice"), s.attach("user:alice")
	slow.room = 2
	for i := range 10 {
		s.deliver(i+1, fmt.Sprint(i), "user:alice")
	}
	if len(quick.frames) != 10 {
		t.Fatalf("the neighbour got %d of 10", len(quick.frames))
	}
	for slow.room = 3; !slow.Fill(); slow.room = 3 {
		if len(slow.frames) > 10 {
			t.Fatal("never becomes live")
		}
	}
	slow.room = 100
	s.deliver(11, "live", "user:alice")
	if diff := cmp.Diff(append(quick.frames[:10:10], "11 user:alice live"), slow.frames); diff != "" {
		t.Error(diff)
	}
}

func TestWindowThatMovesPastASlowSessionIsAGap(t *testing.T) {
	s := begun(t, stream.Config{Messages: 3})
	slow := s.attach("user:alice")
	slow.room = 1
	for i := range 10 {
		s.deliver(i+1, fmt.Sprint(i), "user:alice")
	}
	slow.room = 100
	slow.Fill()
	slow.got(t, "1 user:alice 0", "gap overflow 7", "8 user:alice 7", "9 user:alice 8", "10 user:alice 9")
}

func TestResumeGivesExactlyWhatWasMissed(t *testing.T) {
	for at := range 6 {
		s := begun(t, stream.Config{})
		for i := range 5 {
			s.deliver(i+1, fmt.Sprint(i+1), "user:alice")
			s.deliver2(i+1, 1, "not hers", "user:bob")
		}
		alice := s.hold("user:alice", s.cursorAt(at))
		if !alice.resumed {
			t.Fatalf("at %d: not resumed", at)
		}
		s.deliver(7, "live", "user:alice")
		alice.Fill()
		s.deliver(8, "later", "user:alice")
		var want []string
		for i := at + 1; i <= 5; i++ {
			want = append(want, fmt.Sprintf("%d user:alice %d", i, i))
		}
		alice.got(t, append(want, "7 user:alice live", "8 user:alice later")...)
	}
}

func TestResumeFromOutsideTheWindow(t *testing.T) {
	tests := map[string]struct {
		since domain.Cursor
		want  []string
	}{
		"before the window": {
			domain.Cursor{Log: logA, Position: pos(1)},
			[]string{"gap trimmed 2", "3 user:alice 3", "4 user:alice 4", "5 user:alice live"},
		},
		"last trimmed entry": {
			domain.Cursor{Log: logA, Position: pos(2)},
			[]string{"3 user:alice 3", "4 user:alice 4", "5 user:alice live"},
		},
		"another log": {
			domain.Cursor{Log: logA + 1, Position: pos(3)},
			[]string{"gap unknown_cursor 4", "5 user:alice live"},
		},
		"position and id do not match": {
			domain.Cursor{Log: logA, Position: pos(3), ID: domain.HashID("some other")},
			[]string{"gap unknown_cursor 4", "5 user:alice live"},
		},
		"position and id match": {
			domain.Cursor{Log: logA, Position: pos(3), ID: domain.HashID("id-3")},
			[]string{"4 user:alice 4", "5 user:alice live"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := begun(t, stream.Config{Messages: 2, HasLog: true})
			for i := range 4 {
				s.deliver(i+1, fmt.Sprint(i+1), "user:alice")
			}
			alice := s.hold("user:alice", tt.since)
			alice.Fill()
			s.deliver(5, "live", "user:alice")
			alice.got(t, tt.want...)
		})
	}
}

func TestCursorAheadOfThisNodeWaitsForIt(t *testing.T) {
	s := begun(t, stream.Config{HasLog: true})
	s.deliver(1, "a", "user:alice")
	alice := s.hold("user:alice", s.cursorAt(3))
	alice.Fill()
	s.deliver(2, "seen elsewhere", "user:alice")
	s.deliver(3, "seen elsewhere too", "user:alice")
	s.deliver(4, "new", "user:alice")
	alice.got(t, "4 user:alice new")
}

func TestCursorFarAheadIsNotBelievedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begun(t, stream.Config{HasLog: true, AheadWait: time.Second})
		alice := s.hold("user:alice", s.cursorAt(1000))
		alice.Fill()
		time.Sleep(2 * time.Second)
		s.Sweep()
		alice.got(t, "gap unknown_cursor 0")
		s.deliver(1, "a", "user:alice")
		alice.got(t, "gap unknown_cursor 0", "1 user:alice a")
	})
}

// Another node was ahead when the bus went down. Who comes from there is not put
// behind what it has had already.
func TestCursorAheadIsBelievedWhileTheBusIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begun(t, stream.Config{HasLog: true, AheadWait: time.Second})
		s.deliver(1, "a", "user:alice")
		s.SetBusUp(false)
		alice := s.hold("user:alice", s.cursorAt(2))
		alice.Fill()
		for range 60 {
			time.Sleep(time.Second)
			s.Sweep()
		}
		s.SetBusUp(true)
		s.deliver(2, "seen elsewhere", "user:alice")
		s.deliver(3, "new", "user:alice")
		alice.got(t, "3 user:alice new")

		s.SetBusUp(false)
		alice = s.hold("user:alice", s.cursorAt(1000))
		alice.Fill()
		s.Sweep()
		s.SetBusUp(true)
		time.Sleep(2 * time.Second)
		s.Sweep()
		alice.got(t, "gap unknown_cursor 3")
	})
}

func TestEverySessionCrossingAGapIsTold(t *testing.T) {
	s := begun(t, stream.Config{})
	live := s.attach("user:alice")
	s.deliver(1, "a", "user:alice")
	s.gap(domain.Trimmed, logA, pos(5), time.Time{})
	s.deliver(6, "b", "user:alice")

	before, after := s.attachAt("user:alice", s.cursorAt(1)), s.attachAt("user:alice", s.cursorAt(5))
	live.got(t, "1 user:alice a", "gap trimmed 5", "6 user:alice b")
	before.got(t, "gap trimmed 5", "6 user:alice b")
	after.got(t, "6 user:alice b")
}

func TestCursorOfALogThatWasReplacedIsUnknown(t *testing.T) {
	s := begun(t, stream.Config{HasLog: true})
	s.deliver(7, "a", "user:alice")
	s.gap(domain.UnknownCursor, logA+1, pos(0), time.Time{})
	s.deliver(1, "b", "user:alice")
	old := s.attachAt("user:alice", s.cursorAt(7))
	old.got(t, "gap unknown_cursor 1")
	fresh := s.attachAt("user:alice", domain.Cursor{Log: logA + 1, Position: pos(0)})
	fresh.got(t, "1 user:alice b")
}

func TestSessionThatCameBeforeTheBusIsToldWhenItIsThere(t *testing.T) {
	s := newFixture(t, stream.Config{HasLog: true})
	fresh := s.hold("user:alice", domain.Cursor{})
	fresh.Fill()
	back := s.hold("user:alice", s.cursorAt(3))
	back.Fill()
	unfilled := s.hold("user:alice", domain.Cursor{})
	if !fresh.at.IsZero() {
		t.Error("hello must have no cursor while the bus has not confirmed")
	}
	s.start(logA, pos(3), time.Time{})
	s.deliver(4, "a", "user:alice")
	fresh.got(t, "gap lossy 3", "4 user:alice a")
	back.got(t, "4 user:alice a")
	unfilled.got(t)
}

func TestSameIDAndContentIsDeliveredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begun(t, stream.Config{DedupeAge: time.Minute})
		alice := s.attach("user:alice")
		send := func(at int, id, data string) {
			s.record(pos(at), time.Time{}, message(id, data, "user:alice"))
		}
		send(1, "x", "a")
		send(2, "x", "a")
		send(3, "x", "other")
		send(4, "x", "a")
		time.Sleep(2 * time.Minute)
		send(5, "x", "a")
		alice.got(t, "1 user:alice a", "3 user:alice other", "5 user:alice a")
		if st := s.Stats(); st.Duplicates != 2 || st.Conflicts != 1 {
			t.Errorf("counted %d duplicates and %d conflicts, want 2 and 1", st.Duplicates, st.Conflicts)
		}
		// A cursor at a dropped duplicate is a good place all the same.
		s.attachAt("user:alice", s.cursorAt(4)).got(t, "5 user:alice a")
	})
}

func TestMissingIDComesFromThePosition(t *testing.T) {
	s := begun(t, stream.Config{})
	a, b := message("", "a", "*"), message("", "a", "*")
	s.record(pos(1), time.Time{}, a)
	s.record(pos(2), time.Time{}, b)
	if a.ID == "" || a.ID == b.ID {
		t.Errorf("ids %q and %q", a.ID, b.ID)
	}
}

func TestExpiredMessagesAreNeitherDeliveredNorReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begun(t, stream.Config{})
		alice := s.attach("user:alice")
		m := message("1", "short-lived", "user:alice")
		m.TTL = time.Second
		s.record(pos(1), time.Now(), m)
		late := message("2", "late", "user:alice")
		late.TTL = time.Second
		s.record(pos(2), time.Now().Add(-time.Minute), late)
		time.Sleep(2 * time.Second)
		alice.got(t, "1 user:alice short-lived")
		s.attachAt("user:alice", s.cursorAt(0)).got(t)
	})
}

func TestWindowKeepsItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := stream.NewBudget(20_000)
		s := begun(t, stream.Config{Messages: 50, Age: time.Minute, Budget: budget})
		s.attach("*")
		for i := range 500 {
			s.deliver(i+1, strings.Repeat("x", i), "user:u"+fmt.Sprint(i%7), "*")
			if st := s.Stats(); st.Entries > 50 || st.Entries > 1 && budget.Used() > 20_000 || st.Bytes != budget.Used() {
				t.Fatalf("after %d: %d entries, %d bytes, budget %d", i, st.Entries, st.Bytes, budget.Used())
			}
		}
		time.Sleep(2 * time.Minute)
		s.Sweep()
		if st := s.Stats(); st.Entries != 1 {
			t.Errorf("%d entries are left after their age", st.Entries)
		}
	})
}

func TestJoinHearsFromNowOnAndLeaveEndsIt(t *testing.T) {
	s := begun(t, stream.Config{})
	alice := s.attach("user:alice")
	alice.room = 1
	s.deliver(1, "a", "user:alice")
	s.deliver(2, "b", "user:alice") // falls back
	s.deliver(3, "before", "room:ops")
	alice.Join(target("room:ops"))
	s.deliver(4, "after", "room:ops")
	alice.room = 100
	alice.Fill()
	s.deliver(5, "live", "room:ops")
	alice.Leave(target("room:ops"))
	s.deliver(6, "left", "room:ops")
	alice.got(t, "1 user:alice a", "2 user:alice b", "4 room:ops after", "5 room:ops live")
}

func TestDetachedSessionsGetNothing(t *testing.T) {
	s := begun(t, stream.Config{})
	a, b, c := s.attach("user:alice"), s.attach("user:alice"), s.attach("user:alice")
	b.Detach()
	b.Detach()
	s.deliver(1, "a", "user:alice")
	if b.Fill() {
		t.Error("a detached attachment says that it is live")
	}
	a.got(t, "1 user:alice a")
	b.got(t)
	c.got(t, "1 user:alice a")
}

func TestBusWithoutALogResumesOnTheSameNode(t *testing.T) {
	s := newFixture(t, stream.Config{})
	s.start(0, "", time.Time{})
	alice := s.attach("user:alice")
	for i := range 4 {
		s.record("", time.Time{}, message("", fmt.Sprint(i), "user:alice"))
	}
	back := s.attachAt("user:alice", alice.cursors[1])
	back.gotData(t, "2", "3")
	elsewhere := newFixture(t, stream.Config{})
	elsewhere.start(0, "", time.Time{})
	other := elsewhere.attachAt("user:alice", alice.cursors[1])
	if len(other.frames) != 1 || !strings.HasPrefix(other.frames[0], "gap lossy") {
		t.Errorf("on another node: %q, want a gap", other.frames)
	}
}

func TestSkippedEntriesMoveTheCursor(t *testing.T) {
	s := begun(t, stream.Config{})
	alice := s.attach("user:alice")
	s.poison(pos(9), time.Time{})
	if c, ok := alice.Cursor(); !ok || c.Position != pos(9) {
		t.Errorf("cursor %v %v, want 9", c, ok)
	}
}

// A session that hears nothing is told where it is all the same: with that it
// resumes from memory long after all that it was there for has left the window.
func TestWhoHearsNothingForLongResumesWithoutTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begun(t, stream.Config{HasLog: true, Age: time.Minute, Backlog: stream.NewBudget(1 << 20)})
		alice := s.attach("user:alice")
		for i := range 30 {
			time.Sleep(10 * time.Second)
			s.deliver(i+1, "not hers", "user:bob")
		}
		idle, ok := alice.Cursor()
		if !ok {
			t.Fatal("no cursor")
		}
		back := s.attachAt("user:alice", idle)
		s.deliver(31, "hers", "user:alice")
		back.got(t, "31 user:alice hers")
		if st := s.Stats(); st.Replaying != 0 || st.Backfills != 0 {
			t.Errorf("the log is to be read: %+v", st)
		}
		s.attachAt("user:alice", s.cursorAt(1)) // what she would have come with otherwise
		if st := s.Stats(); st.Replaying != 1 {
			t.Errorf("the window still has all: %+v", st)
		}
	})
}
