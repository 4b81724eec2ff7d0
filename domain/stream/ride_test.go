package stream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// numbers are the data of messages from..to.
func numbers(from, to int) (all []string) {
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// upTo adds to the Backfill what the log has between its beginning and entry to.
func (l *logged) upTo(b *stream.Backfill, to int) (more bool) {
	for i, e := range l.log {
		if pos(e.at) > b.After.Position && e.at <= to && !l.add(b, i) {
			return false
		}
	}
	return true
}

// away is a stream in which alice and bob have missed 1 to entries, in turns.
func away(t *testing.T, cfg stream.Config, entries int) *logged {
	s := withPast(t, cfg)
	for i := 1; i <= entries; i++ {
		s.deliver(i, fmt.Sprint(i), []string{"user:alice", "user:bob"}[i%2])
	}
	return s
}

// ticking is a clock that goes on with every look at it, so that riders are served
// after each entry.
func ticking() func() time.Time {
	now := time.Now()
	return func() time.Time {
		now = now.Add(100 * time.Millisecond)
		return now
	}
}

func TestRidersAreServedAsTheReadingGoes(t *testing.T) {
	s := withPast(t, stream.Config{Now: ticking()})
	for i := 1; i <= 20; i++ {
		s.deliver(i, fmt.Sprint(i), "user:alice")
	}
	first, second := s.attachAt("user:alice", s.cursorAt(2)), s.attachAt("user:alice", s.cursorAt(5))
	b, _ := s.NextBackfill()
	s.upTo(b, 5)
	first.gotData(t, numbers(3, 5)...)
	second.gotData(t)
	s.upTo(b, 6)
	second.gotData(t, "6")
	// Who comes while it is read rides along, if it has not come past the cursor.
	late, tooLate := s.attachAt("user:alice", s.cursorAt(6)), s.attachAt("user:alice", s.cursorAt(5))
	for i := 6; i < 17; i++ {
		s.add(b, i)
	}
	s.EndTurn(b)
	first.gotData(t, numbers(3, 20)...)
	second.gotData(t, numbers(6, 20)...)
	late.gotData(t, numbers(7, 20)...)
	tooLate.gotData(t)
	s.serve()
	tooLate.gotData(t, numbers(6, 20)...)
	if n := s.Stats().Backfills; n != 2 {
		t.Errorf("the log was read %d times, want twice", n)
	}
}

// What a rider gets within a moment, it gets together.
func TestRidersAreServedWhatWasReadInAMoment(t *testing.T) {
	now := time.Now()
	s := away(t, stream.Config{Now: func() time.Time { return now }}, 30)
	alice := s.attachAt("user:alice", s.cursorAt(0))
	b, _ := s.NextBackfill()
	s.upTo(b, 10)
	alice.gotData(t)
	now = now.Add(time.Second)
	s.add(b, 10)
	alice.gotData(t, "2", "4", "6", "8", "10")
	s.add(b, 11)
	s.Abandon(b)
	alice.gotData(t, "2", "4", "6", "8", "10", "12")
	b, _ = s.NextBackfill()
	for i := 12; i < 20; i++ {
		s.add(b, i)
	}
	s.Fail(b, domain.Trimmed)
	alice.got(t, "2 user:alice 2", "4 user:alice 4", "6 user:alice 6", "8 user:alice 8", "10 user:alice 10", "12 user:alice 12",
		"14 user:alice 14", "16 user:alice 16", "18 user:alice 18", "20 user:alice 20", "gap trimmed 27", "28 user:alice 28", "30 user:alice 30")
}

func TestBatchesMayEndAnywhere(t *testing.T) {
	for size := 1; size < 9; size++ {
		for at := range 8 {
			s := withPast(t, stream.Config{})
			for i := 1; i <= 10; i++ {
				s.deliver(i, fmt.Sprint(i), "user:alice")
			}
			alice, other := s.attachAt("user:alice", s.cursorAt(at)), s.attachAt("user:alice", s.cursorAt(3))
			for b, ok := s.NextBackfill(); ok; b, ok = s.NextBackfill() {
				after := b.After.Position
				for more := true; more; {
					var batch []domain.Entry
					var messages []*domain.Message
					for _, e := range s.log {
						if pos(e.at) > after && len(batch) < size {
							batch = append(batch, domain.Entry{Position: pos(e.at)})
							messages = append(messages, e.msg())
						}
					}
					after = batch[len(batch)-1].Position
					more = b.Add(batch, messages)
				}
				s.EndTurn(b)
			}
			alice.gotData(t, numbers(at+1, 10)...)
			other.gotData(t, numbers(4, 10)...)
		}
	}
}

func TestNothingIsStoredForWhoHasRoomNorForWhoDoesNotWait(t *testing.T) {
	budget := stream.NewBudget(1 << 20)
	s := away(t, stream.Config{Backlog: budget}, 100)
	alice, bob := s.attachAt("user:alice", s.cursorAt(0)), s.attachAt("user:bob", s.cursorAt(0))
	alice.room = 0
	b, _ := s.NextBackfill()
	bob.Detach()
	s.upTo(b, 90)
	for i := 2; i <= 90; i += 2 {
		if budget.Used() == 0 {
			t.Fatalf("nothing is stored when alice has %d messages", len(alice.frames))
		}
		alice.room = 1
		alice.Fill()
	}
	if budget.Used() != 0 || s.Stats().BacklogBytes != 0 {
		t.Errorf("%d bytes are stored when all is taken", budget.Used())
	}
	if n := s.Stats().Replayed; n != 45 {
		t.Errorf("%d messages were for somebody, want alice's 45", n)
	}
	alice.room = 1000
	s.EndTurn(b)
	s.serve()
	if len(alice.frames) != 50 {
		t.Errorf("alice got %d messages, want 50", len(alice.frames))
	}
}

// Whoever reads slowly gets off when memory is used up, and continues there later.
func TestSlowRiderDelaysNobodyAndLosesNothing(t *testing.T) {
	budget := stream.NewBudget(16 << 10)
	s := away(t, stream.Config{Backlog: budget}, 1000)
	slow, quick := s.attachAt("user:alice", s.cursorAt(0)), s.attachAt("user:bob", s.cursorAt(0))
	slow.room = 3
	slow.Fill()
	s.serve()
	if len(quick.frames) != 500 || budget.Used() > 32<<10 {
		t.Errorf("the quick one got %d messages, and %d bytes are stored", len(quick.frames), budget.Used())
	}
	for range 1000 {
		slow.room = 5
		slow.Fill()
		s.serve()
	}
	if len(slow.frames) != 500 {
		t.Fatalf("the slow one got %d messages, want 500", len(slow.frames))
	}
	for i, f := range slow.frames {
		if f != fmt.Sprintf("%d user:alice %d", 2*i+2, 2*i+2) {
			t.Fatalf("frame %d is %q", i, f)
		}
	}
	if budget.Used() != 0 {
		t.Errorf("%d bytes are left", budget.Used())
	}
}

// The only rider stops the reading when memory is used up. It goes on where it
// was, and looks at nothing twice.
func TestReadingWaitsForItsOnlyRider(t *testing.T) {
	s := away(t, stream.Config{Backlog: stream.NewBudget(16 << 10)}, 1000)
	alice := s.attachAt("user:alice", s.cursorAt(0))
	alice.room = 0
	s.serve()
	st := s.Stats()
	if st.BacklogBytes == 0 || st.Scanned > 500 {
		t.Errorf("the reading did not stop: %+v", st)
	}
	if b, wanted := s.NextBackfill(); wanted {
		t.Errorf("%+v is wanted", b)
	}
	for range 1000 {
		alice.room = 7
		alice.Fill()
		s.serve()
	}
	if st = s.Stats(); len(alice.frames) != 500 || st.Backfills != 1 || st.Scanned != 997 {
		t.Errorf("%d messages, %d readings of %d entries; want 500, 1 and 997", len(alice.frames), st.Backfills, st.Scanned)
	}
}

func TestRiderThatDetachesLeavesNothing(t *testing.T) {
	budget := stream.NewBudget(1 << 20)
	s := away(t, stream.Config{Backlog: budget, Now: ticking()}, 100)
	ahead, here := s.attachAt("user:alice", s.cursorAt(80)), s.attachAt("user:alice", s.cursorAt(0))
	bob := s.attachAt("user:bob", s.cursorAt(10))
	here.room = 0
	b, _ := s.NextBackfill()
	s.upTo(b, 50)
	ahead.Detach()
	here.Detach()
	if budget.Used() != 0 {
		t.Errorf("%d bytes are stored for nobody", budget.Used())
	}
	s.EndTurn(b)
	s.serve()
	if len(bob.frames) != 45 || len(here.frames) != 0 || len(ahead.frames) != 0 {
		t.Errorf("bob got %d messages, want 45; those who left %d and %d", len(bob.frames), len(here.frames), len(ahead.frames))
	}
	alone := s.attachAt("user:bob", s.cursorAt(0))
	b, _ = s.NextBackfill()
	alone.Detach()
	if s.upTo(b, 50) {
		t.Error("the log is read for nobody")
	}
	s.EndTurn(b)
	if b, wanted := s.NextBackfill(); wanted {
		t.Errorf("%+v is wanted for nobody", b)
	}
}

// The window is trimmed as always. A rider that has taken what was read finds
// itself before it, and the log is read on for it.
func TestWindowMayMoveOnWhileTheLogIsRead(t *testing.T) {
	s := withPast(t, stream.Config{Messages: 3})
	for i := 1; i <= 10; i++ {
		s.deliver(i, fmt.Sprint(i), "user:alice")
	}
	quick, slow := s.attachAt("user:alice", s.cursorAt(2)), s.attachAt("user:alice", s.cursorAt(2))
	slow.room = 1
	b, _ := s.NextBackfill()
	s.upTo(b, 5)
	for i := 11; i <= 20; i++ {
		s.deliver(i, fmt.Sprint(i), "user:alice")
	}
	if s.upTo(b, 16) != true {
		t.Error("it is over where the window began first")
	}
	for i := 15; i < 17; i++ {
		s.add(b, i)
	}
	s.EndTurn(b)
	quick.gotData(t, numbers(3, 20)...)
	for i := 21; i <= 30; i++ {
		s.deliver(i, fmt.Sprint(i), "user:alice")
	}
	slow.gotData(t, "3")
	slow.room = 1000
	slow.Fill()
	slow.gotData(t, numbers(3, 17)...)
	s.serve()
	slow.gotData(t, numbers(3, 30)...)
	quick.gotData(t, numbers(3, 30)...)
}
