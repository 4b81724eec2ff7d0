package stream_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// withPast is a stream with a window of three and a log behind it.
func withPast(t testing.TB, cfg stream.Config) *logged {
	cfg.HasLog = true
	if cfg.Messages == 0 {
		cfg.Messages = 3
	}
	if cfg.Backlog == nil {
		cfg.Backlog = stream.NewBudget(1 << 20)
	}
	return &logged{fixture: begun(t, cfg)}
}

// A logged stream remembers what was delivered to it, as a broker would.
type logged struct {
	*fixture
	log   []logEntry
	times []time.Time // of the entries, if the test says
}

type logEntry struct {
	at  int
	msg func() *domain.Message
}

func (l *logged) deliver(at int, data string, to ...string) {
	l.log = append(l.log, logEntry{at, func() *domain.Message { return message(fmt.Sprint("id-", at), data, to...) }})
	l.fixture.deliver(at, data, to...)
}

// serve does what the reader of the log does, until nothing is wanted.
func (l *logged) serve() {
	for {
		b, ok := l.NextBackfill()
		if !ok {
			return
		}
		l.end(b, l.read(b))
	}
}

// read adds all that the log has, and says whether the Backfill had enough.
func (l *logged) read(b *stream.Backfill) (enough bool) {
	for i, e := range l.log {
		at := time.Time{}
		if i < len(l.times) {
			at = l.times[i]
		}
		if b.From.IsZero() && pos(e.at) <= b.After.Position {
			continue // as a reader that goes straight to the place
		}
		if !b.Add(&domain.Entry{Position: pos(e.at), Time: at}, e.msg()) {
			return true
		}
	}
	return false
}

// end ends the Backfill; one that the log could not fill is a gap.
func (l *logged) end(b *stream.Backfill, enough bool) {
	if enough {
		l.Extend(b)
		return
	}
	l.Fail(b, domain.Trimmed)
}

func TestResumeFromTheLog(t *testing.T) {
	s := withPast(t, stream.Config{})
	for i := range 10 {
		s.deliver(i+1, fmt.Sprint(i+1), "user:alice", "user:bob")
	}
	alice, bob := s.attachAt("user:alice", s.cursorAt(4)), s.attachAt("user:bob", s.cursorAt(6))
	alice.got(t)
	if !alice.resumed {
		t.Error("not resumed")
	}
	s.deliver(11, "live", "*")
	s.serve()
	alice.got(t, "5 user:alice 5", "6 user:alice 6", "7 user:alice 7", "8 user:alice 8", "9 user:alice 9", "10 user:alice 10", "11 * live")
	bob.got(t, "7 user:bob 7", "8 user:bob 8", "9 user:bob 9", "10 user:bob 10", "11 * live")
	// What was read serves those who come a little later, too.
	late := s.attachAt("user:alice", s.cursorAt(9))
	late.got(t, "10 user:alice 10", "11 * live")
	if st := s.Stats(); st.Backfills != 1 {
		t.Errorf("the log was read %d times, want once", st.Backfills)
	}
}

func TestWhatWasReadAgainIsDroppedAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := stream.NewBudget(1 << 20)
		s := withPast(t, stream.Config{Backlog: budget, KeepBacklog: time.Second})
		for i := range 10 {
			s.deliver(i+1, "x", "user:alice")
		}
		slow := s.hold("user:alice", s.cursorAt(2))
		slow.room = 2
		slow.Fill()
		s.serve()
		slow.got(t, "3 user:alice x", "4 user:alice x")
		if st := s.Stats(); st.Entries != 8 || budget.Used() == 0 {
			t.Errorf("%d entries, %d bytes of the past", st.Entries, budget.Used())
		}
		s.deliver(11, "x", "user:alice")
		time.Sleep(2 * time.Second)
		s.Sweep()
		if st := s.Stats(); st.Entries != 3 || budget.Used() != 0 {
			t.Errorf("%d entries, %d bytes of the past; want 3 and 0", st.Entries, budget.Used())
		}
		slow.room = 100
		slow.Fill()
		slow.got(t, "3 user:alice x", "4 user:alice x", "gap overflow 8", "9 user:alice x", "10 user:alice x", "11 user:alice x")
	})
}

func TestTooFarIsToldOnlyToThoseWhoAre(t *testing.T) {
	budget := stream.NewBudget(1 << 20)
	s := withPast(t, stream.Config{MaxScan: 5, Backlog: budget})
	for i := range 20 {
		s.deliver(i+1, fmt.Sprint(i+1), "user:alice")
	}
	far, near, within := s.attachAt("user:alice", s.cursorAt(3)), s.attachAt("user:alice", s.cursorAt(14)), s.attachAt("user:alice", s.cursorAt(18))
	s.serve()
	far.got(t, "gap too_far 17", "18 user:alice 18", "19 user:alice 19", "20 user:alice 20")
	near.got(t, "15 user:alice 15", "16 user:alice 16", "17 user:alice 17", "18 user:alice 18", "19 user:alice 19", "20 user:alice 20")
	within.got(t, "19 user:alice 19", "20 user:alice 20")
}

func TestForgedCursorDoesNotSpoilAnothers(t *testing.T) {
	s := withPast(t, stream.Config{})
	for i := range 10 {
		s.deliver(i+1, fmt.Sprint(i+1), "user:alice")
	}
	forged := s.cursorAt(5)
	forged.ID = domain.HashID("never published")
	forged.Time = time.Now()
	good := forged
	good.ID = domain.HashID("id-5")
	eve, alice := s.attachAt("user:alice", forged), s.attachAt("user:alice", good)
	s.serve()
	eve.got(t, "gap unknown_cursor 10")
	alice.got(t, "6 user:alice 6", "7 user:alice 7", "8 user:alice 8", "9 user:alice 9", "10 user:alice 10")
}

func TestTrimmedLogIsAGapAndWhatTheWindowHas(t *testing.T) {
	s := withPast(t, stream.Config{})
	for i := range 10 {
		s.deliver(i+1, fmt.Sprint(i+1), "user:alice")
	}
	alice, later := s.attachAt("user:alice", s.cursorAt(2)), s.attachAt("user:alice", s.cursorAt(6))
	b, _ := s.NextBackfill()
	s.Fail(b, domain.Trimmed)
	alice.got(t, "gap trimmed 7", "8 user:alice 8", "9 user:alice 9", "10 user:alice 10")
	later.got(t)
	s.serve()
	later.got(t, "7 user:alice 7", "8 user:alice 8", "9 user:alice 9", "10 user:alice 10")
}

func TestAbandonedBackfillIsAskedForAgain(t *testing.T) {
	s := withPast(t, stream.Config{})
	for i := range 10 {
		s.deliver(i+1, fmt.Sprint(i+1), "user:alice")
	}
	alice := s.attachAt("user:alice", s.cursorAt(6))
	b, _ := s.NextBackfill()
	s.read(b)
	s.Abandon(b)
	gone := s.attachAt("user:alice", s.cursorAt(1))
	gone.Detach()
	s.serve()
	alice.got(t, "7 user:alice 7", "8 user:alice 8", "9 user:alice 9", "10 user:alice 10")
	gone.got(t)
}

func TestRepeatedMessageIsNotReplayed(t *testing.T) {
	s := withPast(t, stream.Config{})
	for i := range 10 {
		s.deliver(i+1, fmt.Sprint(i+1), "user:alice")
	}
	// The log holds message 3 again, as 5: the window's dedupe dropped it.
	s.log[4].msg = s.log[2].msg
	since := s.cursorAt(3)
	since.Time = time.Now()
	alice := s.attachAt("user:alice", since)
	s.serve()
	alice.got(t, "4 user:alice 4", "6 user:alice 6", "7 user:alice 7", "8 user:alice 8", "9 user:alice 9", "10 user:alice 10")
}

func TestJoinSinceReplaysTheRoomAndThenSaysSo(t *testing.T) {
	for _, window := range []int{3, 100} { // from the log, and from the window
		s := withPast(t, stream.Config{Messages: window})
		alice := s.attach("user:alice")
		for i := range 5 {
			s.deliver(2*i+1, "hers", "user:alice")
			s.deliver(2*i+2, "room", "room:ops")
		}
		if !alice.JoinSince(target("room:ops"), s.cursorAt(4), stream.Frame{Bytes: []byte("joined")}) {
			t.Fatal("cannot join")
		}
		s.deliver(11, "both", "room:ops", "user:alice")
		s.serve()
		s.deliver(12, "room", "room:ops")
		alice.got(t, "1 user:alice hers", "3 user:alice hers", "5 user:alice hers", "7 user:alice hers", "9 user:alice hers",
			"- room:ops room", "- room:ops room", "- room:ops room", "joined", "11 room:ops both", "12 room:ops room")
	}
}

func TestJoinSinceAnUnknownPlaceIsAGapWithoutACursor(t *testing.T) {
	s := withPast(t, stream.Config{})
	alice := s.attach("user:alice")
	s.deliver(1, "hers", "user:alice")
	alice.JoinSince(target("room:ops"), domain.Cursor{Log: logA + 1, Position: pos(1)}, stream.Frame{Bytes: []byte("joined")})
	lookUp(s.Stream, nil)
	s.deliver(2, "room", "room:ops")
	alice.got(t, "1 user:alice hers", "gap unknown_cursor -", "joined", "2 room:ops room")
}

func TestStreamThatBeginsInThePastIsReadyAtTheTail(t *testing.T) {
	s := newFixture(t, stream.Config{HasLog: true})
	s.startUntil(logA, pos(0), time.Time{}, pos(3))
	early, back := s.attach("user:alice"), s.attachAt("user:alice", s.cursorAt(1))
	s.deliver(1, "a", "user:alice")
	s.deliver(2, "b", "user:alice")
	select {
	case <-s.Ready():
		t.Fatal("ready before the tail")
	default:
	}
	early.got(t)
	s.poison(pos(3), time.Time{})
	<-s.Ready()
	s.deliver(4, "c", "user:alice")
	early.got(t, "gap lossy 3", "4 user:alice c")
	back.got(t, "2 user:alice b", "4 user:alice c")
}

// What a reviewer found: schedules in which a message was lost without a word,
// came twice, or in which everybody waited for ever.

func TestJoiningARoomAgainRepeatsNothing(t *testing.T) {
	f := begun(t, stream.Config{HasLog: true})
	s := f.attach("user:alice", "room:lobby")
	f.deliver(1, "a", "user:alice")
	f.deliver(2, "b", "room:lobby")
	s.JoinSince(target("room:lobby"), f.cursorAt(2), stream.Frame{Bytes: []byte("x x done")})
	s.gotData(t, "a", "b", "done")
}

func TestJoinSinceRepeatsNothingHeardThroughAnotherTarget(t *testing.T) {
	f := begun(t, stream.Config{HasLog: true})
	f.deliver(1, "before she came", "user:alice", "room:lobby")
	s := f.attach("user:alice")
	f.deliver(2, "both", "user:alice", "room:lobby")
	s.JoinSince(target("room:lobby"), f.cursorAt(0), stream.Frame{Bytes: []byte("x x done")})
	s.gotData(t, "both", "before", "done")
}

func TestSessionThatWasOvertakenIsToldThoughTheWindowGrowsBack(t *testing.T) {
	s := withPast(t, stream.Config{Messages: 2})
	slow := s.attach("user:alice")
	slow.room = 0
	for i := 1; i <= 3; i++ {
		s.deliver(i, fmt.Sprint(i), "user:alice")
	}
	late := func() *domain.Message {
		m := message("id-4", "4", "user:alice")
		m.TTL = time.Second
		return m
	}
	s.log = append(s.log, logEntry{4, late})
	s.record(pos(4), time.Now().Add(-time.Minute), late())
	for i := 5; i <= 8; i++ {
		s.deliver(i, fmt.Sprint(i), "user:alice")
	}
	s.attachAt("user:bob", s.cursorAt(0))
	s.serve()
	slow.room = 1 << 20
	slow.Fill()
	slow.got(t, "gap overflow 6", "7 user:alice 7", "8 user:alice 8")
}

func TestLogThatBeganIsReadAgainFromItsBeginning(t *testing.T) {
	s := withPast(t, stream.Config{Messages: 2})
	s.gap(domain.UnknownCursor, 0xB, pos(10), time.Time{})
	var want []string
	for i := 1; i <= 10; i++ {
		s.log = append(s.log, logEntry{i, func() *domain.Message { return message(fmt.Sprint("id-", i), fmt.Sprint(i), "user:alice") }})
	}
	for i := 11; i <= 15; i++ {
		s.deliver(i, fmt.Sprint(i), "user:alice")
	}
	for i := 3; i <= 15; i++ {
		want = append(want, fmt.Sprint(i))
	}
	since := s.cursorAt(2)
	since.Log = 0xB
	alice := s.attachAt("user:alice", since)
	s.serve()
	alice.gotData(t, want...)
}

func TestRepetitionBeyondTheAgeIsReplayedAsItWasDelivered(t *testing.T) {
	now := time.Now()
	s := withPast(t, stream.Config{Messages: 2, DedupeAge: time.Minute, Now: func() time.Time { return now }})
	live := s.attach("user:alice")
	put := func(at int, id, data string) {
		when := now
		s.log = append(s.log, logEntry{at, func() *domain.Message { return message(id, data, "user:alice") }})
		s.times = append(s.times, when)
		s.record(pos(at), when, message(id, data, "user:alice"))
	}
	put(1, "alarm", "on")
	now = now.Add(10 * time.Minute)
	put(2, "alarm", "on")
	for i := 3; i < 6; i++ {
		put(i, fmt.Sprint(i), "x")
	}
	back := s.attachAt("user:alice", s.cursorAt(0))
	s.serve()
	back.got(t, live.frames...)
}

func TestRepetitionIsToldByTheLogsTimeWhenAStreamBeginsInThePast(t *testing.T) {
	now := time.Now()
	f := newFixture(t, stream.Config{HasLog: true, DedupeAge: 2 * time.Minute, Now: func() time.Time { return now }})
	f.startUntil(logA, pos(0), now, pos(2))
	f.record(pos(1), now.Add(-9*time.Minute), message("alarm", "on", "user:alice"))
	f.record(pos(2), now.Add(-time.Minute), message("alarm", "on", "user:alice"))
	f.attachAt("user:alice", f.cursorAt(1)).got(t, "2 user:alice on")
}

func TestGapNotYetToldSurvivesAJoin(t *testing.T) {
	f := begun(t, stream.Config{HasLog: true, Messages: 2})
	for i := 1; i <= 6; i++ {
		f.deliver(i, fmt.Sprint(i), "user:alice")
	}
	s := f.hold("user:alice", f.cursorAt(1))
	s.room = 0
	s.Fill()
	s.JoinSince(target("room:lobby"), domain.Cursor{Log: 0xC, Position: pos(1)}, stream.Frame{Bytes: []byte("done")})
	s.room = 100
	s.Fill()
	s.got(t, "gap trimmed 4", "done", "5 user:alice 5", "6 user:alice 6")
}

func TestCursorAheadIsBelievedFromWhenTheBusConfirms(t *testing.T) {
	now := time.Now()
	f := newFixture(t, stream.Config{HasLog: true, AheadWait: time.Second, Now: func() time.Time { return now }})
	s := f.hold("user:alice", f.cursorAt(5))
	now = now.Add(time.Minute)
	f.start(logA, pos(3), now)
	s.Fill()
	for i := 4; i <= 6; i++ {
		f.deliver(i, fmt.Sprint(i), "user:alice")
	}
	s.got(t, "6 user:alice 6")
}

func TestForgedTimeDoesNotMakeANodeReadTheWholeLog(t *testing.T) {
	s := withPast(t, stream.Config{MaxScan: 10})
	for i := range 10 {
		s.deliver(i+1, fmt.Sprint(i+1), "user:alice")
	}
	c := s.cursorAt(6)
	c.Time = time.Unix(0, 0)
	alice := s.attachAt("user:alice", c)
	b, _ := s.NextBackfill()
	n := 0
	for n < 100_000 && b.Add(&domain.Entry{Position: pos(1)}, message("id", "x", "user:bob")) {
		n++
	}
	if n > 10 {
		t.Errorf("%d entries were looked at", n)
	}
	s.Extend(b)
	s.serve() // without looking back
	alice.gotData(t, "7", "8", "9", "10")
}

func TestLogThatWentBackIsAGapForWhoeverMayHaveSeenTheOtherLife(t *testing.T) {
	f := begun(t, stream.Config{HasLog: true})
	for _, i := range []int{10, 20, 30} {
		f.deliver(i, fmt.Sprint(i), "user:alice")
	}
	f.gap(domain.UnknownCursor, logA, pos(20), time.Time{})
	f.attachAt("user:alice", f.cursorAt(20)).got(t)
	f.deliver(40, "40", "user:alice")
	f.attachAt("user:alice", f.cursorAt(30)).got(t, "gap unknown_cursor 20", "40 user:alice 40")
	seen := f.cursorAt(20)
	seen.ID = domain.HashID("id-20")
	f.attachAt("user:alice", seen).got(t, "gap unknown_cursor 20", "40 user:alice 40")
	f.attachAt("user:alice", f.cursorAt(40)).got(t)
}

func TestBusySystemLeavesTheQuietOnesAWindow(t *testing.T) {
	budget := stream.NewBudget(2 << 20)
	busy, quiet := begun(t, stream.Config{Budget: budget}), begun(t, stream.Config{Budget: budget})
	for i := range 20_000 {
		busy.deliver(i+1, "x", "user:alice")
	}
	for i := range 5 {
		quiet.deliver(i+1, "x", "user:alice")
		busy.deliver(30_000+i, "x", "user:alice")
	}
	if n := quiet.Stats().Entries; n != 5 {
		t.Errorf("the quiet system has %d entries in its window, want 5", n)
	}
}
