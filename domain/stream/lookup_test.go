package stream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// by attaches a session at a cursor, and fills it. It hears user:alice, whoever
// asks.
func (f *fixture) by(user string, since domain.Cursor) *session {
	s := &session{room: 1 << 20}
	to := target("user:alice")
	s.Attachment, s.at, s.resumed = f.Attach(stream.Asker{User: user, Address: "2001:db8::"}, s, encoder{s}, since, to)
	s.Fill()
	return s
}

// A reader answers what a stream wants read, and counts what that costs.
type reader struct {
	*logged
	copies  map[domain.LogID]int // of each log, how many entries hold copies of its first ones
	surveys int
	lookups []stream.Asker
	scanned int
}

// position is where copy n of another log is: entry n.
func (r *reader) locate(l *stream.Lookup) (found []domain.Cursor, looked int) {
	found = make([]domain.Cursor, len(l.Wanted))
	open := len(found)
	for i := range r.log {
		if t := r.times[i]; !l.From().IsZero() && t.Before(l.From()) {
			continue
		}
		looked++
		for k, c := range l.Wanted {
			if c.Position == pos(r.log[i].at) && r.log[i].at <= r.copies[c.Log] {
				found[k] = r.cursorAt(r.log[i].at)
				open--
			}
		}
		if open == 0 || looked >= l.Most {
			break
		}
	}
	return found, looked
}

// lookUp does one Lookup, and says whether there was one.
func (r *reader) lookUp() bool {
	l, wanted := r.NextLookup()
	if !wanted {
		return false
	}
	if l.Survey {
		r.surveys++
		var logs []domain.LogID
		for log := range r.copies {
			logs = append(logs, log)
		}
		r.Surveyed(l, logs, true)
		return true
	}
	r.lookups = append(r.lookups, l.Asker())
	found, looked := r.locate(l)
	r.scanned += looked
	r.Found(l, found, looked)
	return true
}

// lookUpAll does what there is to look up.
func (r *reader) lookUpAll() {
	for range 1000 {
		if !r.lookUp() {
			return
		}
	}
	r.t.Fatal("there is no end of lookups")
}

// newReader has a log of so many entries, one a second until now, the first of
// which are copies of the first entries of log 0xC.
func newReader(t *testing.T, cfg stream.Config, entries, copies int) *reader {
	now := time.Now()
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return now }
	}
	cfg.Messages = 3
	r := &reader{logged: withPast(t, cfg), copies: map[domain.LogID]int{}}
	if copies > 0 {
		r.copies[0xC] = copies
	}
	for i := 1; i <= entries; i++ {
		r.deliver(i, fmt.Sprint(i), "user:alice")
		r.times = append(r.times, r.when(i, entries, now))
	}
	return r
}

func (r *reader) when(i, entries int, now time.Time) time.Time {
	return now.Add(-time.Duration(entries-i) * time.Second)
}

func (r *reader) copyOf(at int) domain.Cursor {
	return domain.Cursor{Log: 0xC, Position: pos(at), Time: r.times[at-1]}
}

func TestLogThatNothingPointsToIsLookedForOnce(t *testing.T) {
	r := newReader(t, stream.Config{}, 20, 0)
	first := r.by("eve", domain.Cursor{Log: 0xE, Position: pos(1)})
	r.lookUpAll()
	first.got(t, "gap unknown_cursor 20")
	for i := range 100 {
		eve := r.by("eve", domain.Cursor{Log: domain.LogID(0xE00 + i), Position: pos(i)})
		eve.got(t, "gap unknown_cursor 20")
	}
	if r.lookUp() || r.surveys != 1 || len(r.lookups) != 0 {
		t.Errorf("the log was read %d times to survey it, and looked up in for %v; want once and never", r.surveys, r.lookups)
	}
}

// Nodes that were there when the copies came, or the move, need no survey.
func TestLogThatCopiesNamedIsKnown(t *testing.T) {
	r := newReader(t, stream.Config{}, 0, 0)
	r.record(pos(1), time.Time{}, message("copy", "x", "user:alice"), domain.Location{Log: 0xC, Position: pos(1)})
	r.moved(0xB, pos(1), time.Time{}, pos(1), domain.Location{Log: logA, Position: pos(9)})
	for i := 2; i < 20; i++ {
		r.deliver(i, "x", "user:alice")
	}
	for _, log := range []domain.LogID{0xC, logA} {
		r.by("alice", domain.Cursor{Log: log, Position: pos(1), Time: time.Now()})
		if l, wanted := r.NextLookup(); !wanted || l.Survey || len(l.Wanted) != 1 {
			t.Fatalf("of log %x: %+v, want a Lookup", log, l)
		} else {
			r.Found(l, make([]domain.Cursor, 1), 1)
		}
	}
}

// What a stream has missed may hold copies of logs that it has not heard of.
func TestLogsAreSurveyedAgainBehindAGap(t *testing.T) {
	r := newReader(t, stream.Config{}, 20, 0)
	r.by("eve", domain.Cursor{Log: 0xE, Position: pos(1)})
	r.lookUpAll()
	r.gap(domain.Lossy, logA, pos(30), time.Time{})
	r.copies[0xC] = 10
	r.by("alice", r.copyOf(5))
	r.lookUpAll()
	if r.surveys != 2 || len(r.lookups) != 1 {
		t.Errorf("%d surveys and %d lookups, want 2 and 1", r.surveys, len(r.lookups))
	}
}

// A position may be looked for while the bus is moved: it is looked for again in the
// log that the stream is in then.
func TestPlaceIsLookedForInThePresentLog(t *testing.T) {
	r := newReader(t, stream.Config{}, 20, 10)
	alice := r.by("alice", r.copyOf(5))
	r.lookUp() // the survey
	l, _ := r.NextLookup()
	found, looked := r.locate(l)
	r.moved(0xB, pos(1), time.Time{}, pos(1), domain.Location{Log: logA, Position: pos(20)})
	r.Found(l, found, looked)
	alice.got(t)
	l, wanted := r.NextLookup()
	if wanted && l.Survey {
		r.Surveyed(l, []domain.LogID{logA, 0xC}, true)
		l, wanted = r.NextLookup()
	}
	if !wanted || len(l.Wanted) != 1 {
		t.Fatalf("alice is not looked for: %+v", l)
	}
	r.Found(l, []domain.Cursor{{Log: 0xB, Position: pos(1)}}, 1)
	alice.got(t)
	r.record(pos(2), time.Time{}, message("next", "next", "user:alice"))
	alice.got(t, "2 user:alice next")
}

// That nobody can resume from a position says nothing of positions in another log.
func TestTrimmedPositionIsOneOfItsLog(t *testing.T) {
	r := newReader(t, stream.Config{}, 20, 0)
	r.moved(0xB, pos(1), time.Time{}, pos(1), domain.Location{Log: logA, Position: pos(20)})
	r.by("eve", r.cursorAt(5))
	b, _ := r.NextBackfill()
	r.Fail(b, domain.Trimmed)
	for i := 2; i < 10; i++ {
		r.record(pos(i), time.Time{}, message(fmt.Sprint(i), "x", "user:alice"))
	}
	alice := r.by("alice", domain.Cursor{Log: 0xB, Position: pos(3)})
	alice.got(t)
	if _, wanted := r.NextBackfill(); !wanted {
		t.Error("the log is not read for alice")
	}
}

// The log is long, and the forged cursor's time leads to its beginning: whoever
// shares a reading with it would not be met before the reading is too long.
func TestForgedTimeDoesNotHideAnothersPosition(t *testing.T) {
	r := newReader(t, stream.Config{MaxScan: 300}, 1000, 990)
	forged := r.copyOf(995) // there is no such copy
	forged.Time = time.Unix(1, 0)
	eve, alice := r.by("eve", forged), r.by("alice", r.copyOf(985))
	r.lookUpAll()
	r.serve()
	eve.got(t, "gap unknown_cursor 1000")
	if len(alice.frames) != 15 || alice.frames[0] != "986 user:alice 986" {
		t.Errorf("alice got %q, want 986 to 1000", alice.frames)
	}
}

func TestRefusedPositionIsNotLookedUpAgain(t *testing.T) {
	now := time.Now()
	r := newReader(t, stream.Config{Now: func() time.Time { return now }}, 20, 10)
	forged := r.copyOf(15)
	r.by("eve", forged)
	r.lookUpAll()
	before := len(r.lookups)
	for range 10 {
		r.by("eve", forged).got(t, "gap unknown_cursor 20")
	}
	if r.lookUp() || before != 1 {
		t.Errorf("%d lookups, want 1", len(r.lookups))
	}
	now = now.Add(time.Minute)
	r.by("eve", forged)
	if !r.lookUp() {
		t.Error("a refusal is remembered for ever")
	}
}

// What the log is known not to lead on from is not asked for again and again.
func TestTrimmedPositionIsNotReadAgain(t *testing.T) {
	now := time.Now()
	r := newReader(t, stream.Config{Now: func() time.Time { return now }}, 20, 0)
	r.by("eve", r.cursorAt(5))
	b, _ := r.NextBackfill()
	r.Fail(b, domain.Trimmed)
	for i := range 5 {
		r.by("eve", r.cursorAt(i+1)).got(t, "gap trimmed 17", "18 user:alice 18", "19 user:alice 19", "20 user:alice 20")
	}
	if _, wanted := r.NextBackfill(); wanted {
		t.Error("a Backfill is wanted for what is trimmed")
	}
	alice := r.by("alice", r.cursorAt(6))
	r.serve()
	if len(alice.frames) != 14 {
		t.Errorf("alice got %q", alice.frames)
	}
}

// A time that leads to the beginning of a log that takes too long to read is its
// forger's trouble.
func TestForgedTimeThatTakesTooLongIsNobodyElsesTrouble(t *testing.T) {
	r := newReader(t, stream.Config{}, 20, 0)
	forged, good := r.cursorAt(10), r.cursorAt(10)
	forged.Time, good.Time = time.Unix(100_000, 0), r.times[9]
	r.log[12].msg = r.log[8].msg // 13 repeats 9, which alice has had: she needs what was before her position
	eve, alice := r.by("eve", forged), r.by("alice", good)
	b, _ := r.NextBackfill()
	r.EndTurn(b) // the reader's time is over before it came to anything
	r.serve()
	for _, s := range []*session{eve, alice} {
		if len(s.frames) != 9 || s.frames[0] != "11 user:alice 11" {
			t.Errorf("got %q, want 11 to 20 without 13", s.frames)
		}
	}
}

func TestCursorsAheadWaitForTheirPositionAndForTheirTimeOnly(t *testing.T) {
	now := time.Now()
	f := begun(t, stream.Config{HasLog: true, AheadWait: time.Minute, Now: func() time.Time { return now }})
	far, near := f.by("eve", f.cursorAt(1000)), f.by("alice", f.cursorAt(5))
	for i := 1; i <= 7; i++ {
		f.deliver(i, fmt.Sprint(i), "user:alice")
	}
	near.got(t, "6 user:alice 6", "7 user:alice 7")
	far.got(t)
	now = now.Add(2 * time.Minute)
	f.Sweep()
	far.got(t, "gap unknown_cursor 7")
}
