package stream_test

import (
	"fmt"
	"testing"
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

// read adds what the log has until the turn is over, and says whether the
// Backfill had enough.
func (l *logged) read(b *stream.Backfill) (enough bool) {
	for i, e := range l.log {
		if b.From.IsZero() && pos(e.at) <= b.After.Position {
			continue // as a reader that goes straight to the position
		}
		if i < len(l.times) && l.times[i].Before(b.From) {
			continue
		}
		if !l.add(b, i) {
			return true
		}
	}
	return false
}

// add adds entry i of the log.
func (l *logged) add(b *stream.Backfill, i int) (more bool) {
	at := time.Time{}
	if i < len(l.times) {
		at = l.times[i]
	}
	e := domain.Entry{Position: pos(l.log[i].at), Time: at}
	return b.Add([]domain.Entry{e}, []*domain.Message{l.log[i].msg()})
}

// end ends the turn; a Backfill that the log could not fill is a gap.
func (l *logged) end(b *stream.Backfill, enough bool) {
	if enough {
		l.EndTurn(b)
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
	late := s.attachAt("user:alice", s.cursorAt(9))
	late.got(t, "10 user:alice 10", "11 * live")
	if st := s.Stats(); st.Backfills != 1 {
		t.Errorf("the log was read %d times, want once", st.Backfills)
	}
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

// What a reviewer found: schedules in which a message was lost without a word,
// came twice, or in which everybody waited for ever.

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

func TestRewoundLogIsAGapForSessionsThatMayHaveSeenWhatItLost(t *testing.T) {
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
