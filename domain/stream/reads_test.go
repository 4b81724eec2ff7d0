package stream_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// Thousands come back at once through a few proxies that nobody named, each from
// a little further back than the one before: none of them has read too much.
func TestCrowdBehindFewAddressesIsNoFlood(t *testing.T) {
	r := newReader(t, stream.Config{Backlog: stream.NewBudget(1 << 30)}, 20_000, 0)
	alice := target("user:alice")
	crowd := make([]*session, 10_000)
	for i := range crowd {
		s := &session{room: 1 << 20}
		who := stream.Asker{User: fmt.Sprint("user", i), Address: fmt.Sprint("10.0.0.", i%3)}
		s.Attachment, s.at, s.resumed = r.Attach(who, s, encoder{s}, r.cursorAt(19_990-i), alice, target(fmt.Sprint("user:u", i)))
		s.Fill()
		crowd[i] = s
		if i%500 == 0 {
			r.serve()
		}
		if i > 10 {
			s.Leave(alice) // who stays would get all of it
		}
	}
	r.serve()
	for i, s := range crowd {
		for _, f := range s.frames {
			if strings.HasPrefix(f, "gap") {
				t.Fatalf("user %d got %q", i, f)
			}
		}
	}
	if n := r.Stats().Backfills; n > 60 {
		t.Errorf("the log was read %d times for 10,000 of whom 20 times 500 came at once", n)
	}
}

func TestUserWithLeastReadingIsLookedUpFirst(t *testing.T) {
	r := newReader(t, stream.Config{MaxScan: 300}, 1000, 900)
	for i := range 20 {
		forged := domain.Cursor{Log: 0xC, Position: pos(2000 + i), Time: time.Unix(int64(100+i), 0)}
		r.by("eve", forged)
	}
	for range 3 {
		r.lookUp() // the survey, and two of hers
	}
	alice := r.by("alice", r.copyOf(890))
	r.lookUp()
	if last := r.lookups[len(r.lookups)-1]; last.User != "alice" {
		t.Errorf("looked up for %v, want alice's turn", r.lookups)
	}
	r.serve()
	if len(alice.frames) != 110 {
		t.Errorf("alice got %d messages, want 110", len(alice.frames))
	}
}

func TestUserWithTooMuchReadingIsRefusedForAWhile(t *testing.T) {
	now := time.Now()
	r := newReader(t, stream.Config{MaxScan: 300, Now: func() time.Time { return now }}, 1000, 900)
	for i := range 100 {
		r.by("eve", domain.Cursor{Log: 0xC, Position: pos(2000 + i), Time: time.Unix(int64(100+i), 0)})
		r.lookUpAll()
	}
	if n := r.scanned; n > 17*300 {
		t.Errorf("%d entries were looked at for one user, want 17 readings of 300 at most", n)
	}
	r.by("eve", r.copyOf(850)).got(t, "gap too_far 1000")
	r.by("eve", r.cursorAt(800)).got(t, "gap too_far 997", "998 user:alice 998", "999 user:alice 999", "1000 user:alice 1000")
	now = now.Add(time.Hour)
	alice := r.by("eve", r.copyOf(850)) // not for ever
	r.lookUpAll()
	r.serve()
	if alice.frames[0][:3] == "gap" {
		t.Errorf("got %q", alice.frames[0])
	}
}

// Positions far in the past cost a reading each: others go first.
func TestNobodyWaitsForAnothersLongReading(t *testing.T) {
	r := newReader(t, stream.Config{MaxScan: 100}, 1000, 0)
	for i := range 20 {
		r.by("eve", r.cursorAt(10+20*i))
	}
	b, _ := r.NextBackfill()
	if b.Asker().User != "eve" {
		t.Fatalf("read for %v", b.Asker())
	}
	alice := r.by("alice", r.cursorAt(950))
	r.end(b, r.read(b))
	b, wanted := r.NextBackfill()
	if wanted {
		if b.Asker().User != "alice" {
			t.Errorf("read for %v, want alice", b.Asker())
		}
		r.end(b, r.read(b))
	}
	if len(alice.frames) != 50 {
		t.Errorf("alice got %d messages, want 50 after the reading that was under way and her own", len(alice.frames))
	}
}

// What one user has read again in some systems is given back when another wants
// to resume elsewhere, and memory is used up.
func TestOneUsersBacklogDoesNotKeepAnothersOut(t *testing.T) {
	past := stream.NewBudget(400 << 10)
	reads := stream.NewReads(1000, time.Now)
	system := func() *logged {
		s := withPast(t, stream.Config{Backlog: past, Reads: reads, MaxScan: 1000})
		for i := 1; i <= 500; i++ {
			s.deliver(i, fmt.Sprint(i), "user:alice")
		}
		return s
	}
	for range 4 {
		s := system()
		eve := s.by("eve", s.cursorAt(10))
		eve.room = 1 // she reads next to nothing
		s.serve()
	}
	if past.Used() < 100<<10 {
		t.Fatalf("only %d bytes are used up", past.Used())
	}
	s := system()
	alice := s.by("alice", s.cursorAt(10))
	s.serve()
	if len(alice.frames) != 490 {
		t.Errorf("alice got %d messages, want 490; first %q", len(alice.frames), alice.frames[0])
	}
}
