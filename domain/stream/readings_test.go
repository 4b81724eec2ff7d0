package stream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A reading that takes long is done in turns. Nothing is read twice for that.
func TestReadingGoesOnInTurns(t *testing.T) {
	r := newReader(t, stream.Config{MaxScan: 100}, 1000, 0)
	since := r.cursorAt(500)
	since.Time = r.times[499]
	alice := r.by("alice", since)
	r.serve()
	if len(alice.frames) != 500 || alice.frames[0] != "501 user:alice 501" {
		t.Errorf("alice got %d messages", len(alice.frames))
	}
	// 120 entries before her cursor lie within the time for which ids are kept.
	if st := r.Stats(); st.Backfills != 1 || st.Scanned != 997-379 {
		t.Errorf("%d readings of %d entries", st.Backfills, st.Scanned)
	}
}

// Sessions that were away for less long do not wait for the others, and those
// have their turn again.
func TestWhoWasAwayForLessLongIsServedFirst(t *testing.T) {
	r := newReader(t, stream.Config{MaxScan: 100}, 1000, 0)
	eve, alice := r.by("eve", r.cursorAt(10)), r.by("alice", r.cursorAt(950))
	b, _ := r.NextBackfill()
	r.end(b, r.read(b))
	b, _ = r.NextBackfill()
	if b.Asker().User != "alice" {
		t.Errorf("read for %v, want alice", b.Asker())
	}
	r.end(b, r.read(b))
	if len(alice.frames) != 50 || len(eve.frames) != 100 {
		t.Errorf("alice got %d messages, want 50; eve %d, want 100", len(alice.frames), len(eve.frames))
	}
	r.serve()
	if len(eve.frames) != 990 {
		t.Errorf("eve got %d messages, want 990", len(eve.frames))
	}
}

func TestReadingsAreFewAtATime(t *testing.T) {
	r := newReader(t, stream.Config{MaxScan: 30, Reads: stream.NewReads(1000, time.Now)}, 1000, 0)
	var all []*session
	for i := range 20 {
		s := r.by(fmt.Sprint("user", i), r.cursorAt(900-40*i))
		all = append(all, s)
		if b, ok := r.NextBackfill(); ok {
			r.end(b, r.read(b))
		}
		if n := r.Stats().Replaying; n > i+1 {
			t.Fatalf("%d sessions wait of %d", n, i+1)
		}
	}
	r.serve()
	for i, s := range all {
		if len(s.frames) != 100+40*i {
			t.Errorf("session %d got %d messages, want %d; the first is %s", i, len(s.frames), 100+40*i, s.frames[0])
		}
	}
}

func TestTooFarIsToldWhenTooMuchIsReadForAUser(t *testing.T) {
	budget := stream.NewBudget(1 << 20)
	now := time.Now()
	r := newReader(t, stream.Config{MaxScan: 10, Backlog: budget, Now: func() time.Time { return now }}, 1000, 0)
	eve, alice := r.by("eve", r.cursorAt(10)), r.by("alice", r.cursorAt(950))
	eve.room = 50
	eve.Fill()
	r.serve()
	eve.room = 1000
	eve.Fill()
	last := len(eve.frames) - 4
	if last != 150 || eve.frames[last] != "gap too_far 997" || eve.frames[last-1] != "160 user:alice 160" {
		t.Errorf("eve got %d messages, then %q", last, eve.frames[last:])
	}
	if len(alice.frames) != 50 {
		t.Errorf("alice got %d messages, want 50", len(alice.frames))
	}
	// What was refused to her is not refused to others.
	bob := r.by("bob", r.cursorAt(900))
	r.serve()
	if len(bob.frames) != 100 {
		t.Errorf("bob got %d messages, want 100", len(bob.frames))
	}
}

// A gap in the log comes after what lies before it.
func TestLogThatBreaksOffIsAGapBehindWhatWasRead(t *testing.T) {
	s := away(t, stream.Config{}, 30)
	quick, slow := s.attachAt("user:alice", s.cursorAt(2)), s.attachAt("user:alice", s.cursorAt(2))
	slow.room = 1
	ahead := s.attachAt("user:alice", s.cursorAt(20))
	b, _ := s.NextBackfill()
	s.upTo(b, 10)
	s.Fail(b, domain.Trimmed)
	slow.gotData(t, "4")
	slow.room = 100
	slow.Fill()
	for _, c := range []*session{quick, slow} {
		c.got(t, "4 user:alice 4", "6 user:alice 6", "8 user:alice 8", "10 user:alice 10", "gap trimmed 27", "28 user:alice 28", "30 user:alice 30")
	}
	ahead.got(t)
	s.serve()
	ahead.gotData(t, "22", "24", "26", "28", "30")
}

// A gap that waits for room reaches as far as the session was overtaken meanwhile.
func TestGapNotYetToldCoversAllThatIsMissing(t *testing.T) {
	s := away(t, stream.Config{}, 30)
	alice := s.attachAt("user:alice", s.cursorAt(2))
	b, _ := s.NextBackfill()
	alice.room = 0
	s.Fail(b, domain.Trimmed)
	for i := 31; i <= 40; i++ {
		s.deliver(i, fmt.Sprint(i), "user:alice")
	}
	alice.room = 100
	alice.Fill()
	alice.got(t, "gap trimmed 37", "38 user:alice 38", "39 user:alice 39", "40 user:alice 40")
}

func TestLogThatIsReplacedMeanwhileEndsTheReading(t *testing.T) {
	s := away(t, stream.Config{}, 30)
	alice := s.attachAt("user:alice", s.cursorAt(2))
	b, _ := s.NextBackfill()
	s.upTo(b, 10)
	s.gap(domain.UnknownCursor, 0xB, pos(0), time.Time{})
	if s.upTo(b, 20) {
		t.Error("the log is read on")
	}
	s.EndTurn(b)
	alice.got(t, "4 user:alice 4", "6 user:alice 6", "8 user:alice 8", "10 user:alice 10", "gap unknown_cursor 0")
	if b, wanted := s.NextBackfill(); wanted {
		t.Errorf("%+v is wanted", b)
	}
}

// A log that went back holds other messages at the same positions.
func TestLogThatWentBackDuringAPauseEndsTheReading(t *testing.T) {
	s := away(t, stream.Config{}, 30)
	alice := s.attachAt("user:alice", s.cursorAt(2))
	b, _ := s.NextBackfill()
	s.upTo(b, 20)
	s.Abandon(b)
	s.log = s.log[:10]
	s.gap(domain.UnknownCursor, logA, pos(10), time.Time{})
	for i := 11; i <= 40; i++ {
		s.deliver(i, fmt.Sprint("new", i), "user:alice")
	}
	s.serve()
	s.deliver(41, "live", "user:alice")
	alice.got(t, "4 user:alice 4", "6 user:alice 6", "8 user:alice 8", "10 user:alice 10", "12 user:alice 12", "14 user:alice 14",
		"16 user:alice 16", "18 user:alice 18", "20 user:alice 20", "gap unknown_cursor 40", "41 user:alice live")
}

func TestAbandonedReadingGoesOnWhereItWas(t *testing.T) {
	s := away(t, stream.Config{}, 30)
	alice, ahead := s.attachAt("user:alice", s.cursorAt(2)), s.attachAt("user:alice", s.cursorAt(20))
	b, _ := s.NextBackfill()
	s.upTo(b, 10)
	s.Abandon(b)
	b, _ = s.NextBackfill()
	if b.After.Position != pos(10) || !b.From.IsZero() {
		t.Errorf("it goes on after %x, from %v", b.After.Position, b.From)
	}
	alice.Detach()
	s.Abandon(b)
	s.serve()
	ahead.gotData(t, "22", "24", "26", "28", "30")
	if n := s.Stats().Replaying; n != 0 {
		t.Errorf("%d sessions still wait", n)
	}
}

// Each cursor is held against what the log has at its position.
func TestForgedCursorOfARiderIsUnknown(t *testing.T) {
	s := away(t, stream.Config{}, 30)
	first, good, forged := s.cursorAt(2), s.cursorAt(9), s.cursorAt(9)
	good.ID, forged.ID = domain.HashID("id-9"), domain.HashID("never published")
	alice := s.attachAt("user:alice", first)
	bob, eve := s.attachAt("user:bob", good), s.attachAt("user:bob", forged)
	s.serve()
	if len(alice.frames) != 14 || len(bob.frames) != 10 {
		t.Errorf("alice got %d messages, bob %d; want 14 and 10", len(alice.frames), len(bob.frames))
	}
	eve.got(t, "gap unknown_cursor 30")
}

// A repetition is recognised by who has had the message before the own cursor,
// also when the reading is under way already: then it may have come too far.
func TestRepetitionIsRecognisedByWhoComesLater(t *testing.T) {
	for _, read := range []int{100, 395, 405} {
		r := newReader(t, stream.Config{}, 1000, 0)
		r.log[389].msg = func() *domain.Message { return message("same", "x", "user:bob") }
		r.log[449].msg = r.log[389].msg // 450 repeats 390
		alice, bob := r.cursorAt(200), r.cursorAt(400)
		alice.Time, bob.Time = r.times[199], r.times[399]
		first := r.by("alice", alice)
		b, _ := r.NextBackfill()
		for i := range read {
			if !r.times[i].Before(b.From) {
				r.add(b, i)
			}
		}
		second := r.attachAt("user:bob", bob)
		for i := read; r.add(b, i); i++ {
		}
		r.EndTurn(b)
		r.serve()
		if len(first.frames) != 798 || len(second.frames) != 0 {
			t.Errorf("after %d: %d messages, want 798; and %q, which bob has had", read, len(first.frames), second.frames)
		}
	}
}

// A gap in what is read for repetitions alone is told, too: or the same would be
// read again and again.
func TestLogThatBreaksOffBeforeTheCursorIsAskedForOnce(t *testing.T) {
	r := newReader(t, stream.Config{MaxScan: 10}, 1000, 0)
	since := r.cursorAt(500)
	since.Time = r.times[499]
	alice := r.by("alice", since)
	for turn := range 2 {
		b, _ := r.NextBackfill()
		if turn == 0 {
			r.end(b, r.read(b))
			continue
		}
		r.Fail(b, domain.Lossy)
	}
	if b, wanted := r.NextBackfill(); wanted {
		t.Errorf("%+v is wanted", b)
	}
	alice.got(t, "gap lossy 997", "998 user:alice 998", "999 user:alice 999", "1000 user:alice 1000")
}

// However long a reading pauses, and though the log's time stands still meanwhile:
// what it has read before is not read for the first time after.
func TestPausedReadingForgetsNoIds(t *testing.T) {
	now := time.Now()
	s := away(t, stream.Config{Now: func() time.Time { return now }}, 30)
	for range s.log {
		s.times = append(s.times, now)
	}
	s.log[11].msg = s.log[9].msg // 12 repeats 10
	alice := s.attachAt("user:alice", s.cursorAt(2))
	b, _ := s.NextBackfill()
	s.upTo(b, 11)
	s.Abandon(b)
	now = now.Add(time.Hour)
	s.serve()
	alice.gotData(t, "4", "6", "8", "10", "14", "16", "18", "20", "22", "24", "26", "28", "30")
}

func TestReadingWithoutProgressIsTooFar(t *testing.T) {
	s := away(t, stream.Config{}, 30)
	alice := s.attachAt("user:alice", s.cursorAt(2))
	b, _ := s.NextBackfill()
	if s.EndTurn(b) {
		t.Error("there is progress without an entry")
	}
	alice.got(t, "gap too_far 27", "28 user:alice 28", "30 user:alice 30")
}
