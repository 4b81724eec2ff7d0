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

func TestSessionWithAFullOutboxMissesNothing(t *testing.T) {
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
		// A cursor at a dropped duplicate is a good position all the same.
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

func TestStepTellsTheOutcome(t *testing.T) {
	s := begun(t, stream.Config{Traced: true})
	to := []domain.Target{target("user:alice"), target("room:lobby")}
	traced := func(id string, to []domain.Target) *domain.Message {
		m := checked(id, to)
		m.Traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		return m
	}
	attach := func(out stream.Outbox) *stream.Attachment {
		a, _, _ := s.Attach(stream.Asker{}, out, copier{}, domain.Cursor{}, to...)
		return a
	}
	step := func(at int, m *domain.Message) domain.Outcome {
		return s.Step(&domain.Entry{Position: pos(at), Time: time.Now()}, m)
	}
	if got := step(1, traced("1", to)); got != (domain.Outcome{}) {
		t.Errorf("to nobody: %+v", got)
	}
	attach(&sink{}).Fill() // it is there twice and is offered the message once
	slow := &gate{room: 1}
	attach(slow).Fill()
	attach(&sink{}) // it has not begun
	if got := step(2, traced("2", to[:1])); got != (domain.Outcome{Offered: 2, Behind: 1}) {
		t.Errorf("to one target: %+v", got)
	}
	if got := step(3, traced("3", to)); got != (domain.Outcome{Offered: 1, Behind: 2}) {
		t.Errorf("where a session is slow: %+v", got)
	}
	if got := step(4, traced("3", to)); got != (domain.Outcome{Duplicate: true}) {
		t.Errorf("a repetition: %+v", got)
	}
	if got := step(5, checked("5", to)); got != (domain.Outcome{}) {
		t.Errorf("one that nobody traces: %+v", got)
	}
	late := traced("4", to)
	late.TTL = time.Second
	if got := s.Step(&domain.Entry{Position: pos(6), Time: time.Now().Add(-time.Hour)}, late); got != (domain.Outcome{Expired: true}) {
		t.Errorf("one that comes too late: %+v", got)
	}
}
