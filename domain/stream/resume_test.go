package stream_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

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

// A session that hears nothing is told where it is all the same: with that it
// resumes from memory long after all that it was there for has left the window.
func TestSessionThatWasOfferedNothingForLongResumesWithoutTheLog(t *testing.T) {
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
