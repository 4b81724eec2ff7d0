package stream_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

func TestMessagePastItsTTLIsNotReplayed(t *testing.T) {
	now := time.Now()
	s := withPast(t, stream.Config{Now: func() time.Time { return now }})
	for i := 1; i <= 10; i++ {
		s.deliver(i, fmt.Sprint(i), "user:alice")
		s.times = append(s.times, now)
	}
	mortal := func(at int, ttl time.Duration) {
		s.log[at-1].msg = func() *domain.Message {
			m := message(fmt.Sprint("id-", at), fmt.Sprint(at), "user:alice")
			m.TTL = ttl
			return m
		}
	}
	mortal(3, time.Second)
	mortal(5, time.Minute)
	now = now.Add(10 * time.Second)
	alice, slow := s.attachAt("user:alice", s.cursorAt(1)), s.attachAt("user:alice", s.cursorAt(1))
	slow.room = 1
	s.serve()
	now = now.Add(time.Hour)
	slow.room = 100
	slow.Fill()
	alice.gotData(t, "2", "4", "5", "6", "7", "8", "9", "10")
	slow.gotData(t, "2", "4", "6", "7", "8", "9", "10")
}

// Of a log without times nobody can say that a ttl is over.
func TestTTLInALogWithoutTimesCountsFromTheReading(t *testing.T) {
	now := time.Now()
	s := away(t, stream.Config{Now: func() time.Time { return now }}, 10)
	s.log[3].msg = func() *domain.Message {
		m := message("id-4", "4", "user:alice")
		m.TTL = time.Minute
		return m
	}
	alice, slow := s.attachAt("user:alice", s.cursorAt(1)), s.attachAt("user:alice", s.cursorAt(1))
	slow.room = 1
	s.serve()
	now = now.Add(time.Hour)
	slow.room = 100
	slow.Fill()
	alice.gotData(t, "2", "4", "6", "8", "10")
	slow.gotData(t, "2", "6", "8", "10")
}

func TestRoomsMayChangeDuringARide(t *testing.T) {
	s := withPast(t, stream.Config{Now: ticking()})
	for i := 1; i <= 20; i++ {
		s.deliver(i, fmt.Sprint(i), []string{"room:a", "room:b", "user:alice"}[i%3])
	}
	alice := s.join(s.cursorAt(0), "user:alice", "room:a")
	alice.Fill()
	alice.room = 3
	b, _ := s.NextBackfill()
	s.upTo(b, 9) // 2 for her, 3 in the room, 5 for her; then 6, 8, 9 are stored
	alice.Leave(target("room:a"))
	alice.Join(target("room:b"))
	s.deliver(21, "21", "room:b")
	alice.room = 100
	alice.Fill()
	s.upTo(b, 17)
	for i := 9; i < 18; i++ {
		s.add(b, i)
	}
	s.EndTurn(b)
	s.serve()
	s.deliver(22, "22", "room:b")
	alice.gotData(t, "2", "3", "5", "8", "11", "14", "17", "20", "21", "22")
}

func TestRoomThatIsJoinedWhileWaitingBeginsThen(t *testing.T) {
	s := away(t, stream.Config{}, 20)
	alice := s.attachAt("user:alice", s.cursorAt(10))
	alice.Join(target("user:bob"))
	s.serve()
	s.deliver(21, "21", "user:bob")
	alice.gotData(t, "12", "14", "16", "18", "20", "21")
}

// Nothing in a room is lost that is joined while the session waits, however far
// the window moves on meanwhile.
func TestRoomThatIsJoinedWhileWaitingMissesNothing(t *testing.T) {
	for _, read := range []int{0, 4, 7} { // when she joins
		s := away(t, stream.Config{}, 20)
		alice := s.attachAt("user:alice", s.cursorAt(10))
		var b *stream.Backfill
		if read > 0 {
			b, _ = s.NextBackfill()
			s.upTo(b, 10+read)
		}
		alice.Join(target("user:bob"))
		for i := 21; i <= 30; i++ {
			s.deliver(i, fmt.Sprint(i), []string{"user:alice", "user:bob"}[i%2])
		}
		if b != nil {
			s.Abandon(b)
		}
		s.serve()
		alice.gotData(t, append([]string{"12", "14", "16", "18", "20"}, numbers(21, 30)...)...)
	}
}

func TestSessionThatWasNotFilledIsOfferedNothingYet(t *testing.T) {
	s := away(t, stream.Config{}, 20)
	alice := s.hold("user:alice", s.cursorAt(10))
	s.serve()
	alice.got(t)
	alice.Fill()
	alice.gotData(t, "12", "14", "16", "18", "20")
}

func TestJoinSinceRidesForTheRoomAlone(t *testing.T) {
	s := withPast(t, stream.Config{})
	s.deliver(1, "before she came", "room:ops", "user:alice")
	alice := s.attach("user:alice")
	s.deliver(2, "both", "room:ops", "user:alice")
	s.deliver(3, "hers", "user:alice")
	s.deliver(4, "room", "room:ops")
	for i := 5; i <= 9; i++ {
		s.deliver(i, "others", "user:bob")
	}
	alice.JoinSince(target("room:ops"), s.cursorAt(0), stream.Frame{Bytes: []byte("joined")})
	if alice.JoinSince(target("room:b"), s.cursorAt(0), stream.Frame{Bytes: []byte("joined")}) {
		t.Error("she joins another room meanwhile")
	}
	s.deliver(10, "live", "user:alice")
	s.serve()
	s.deliver(11, "live room", "room:ops")
	alice.got(t, "2 user:alice both", "3 user:alice hers",
		"- room:ops before she came", "- room:ops room", "joined", "10 user:alice live", "11 room:ops live room")
}

// What was in the old log before a session came to a new one, it did not hear,
// however often the bus is moved then.
func TestJoinSinceFromBeforeAMoveMissesNothing(t *testing.T) {
	for moves := range 3 {
		s := withPast(t, stream.Config{Messages: 5})
		for i := 1; i <= 9; i++ {
			s.deliver(i, "both", "room:ops", "user:alice")
		}
		s.moved(logB, pos(100), time.Time{}, pos(100), domain.Location{Log: logA, Position: pos(9)})
		alice := s.attach("user:alice")
		for i := range moves {
			s.moved(logB+1+domain.LogID(i), pos(200), time.Time{}, pos(200), domain.Location{Log: logB + domain.LogID(i), Position: pos(100)})
		}
		alice.JoinSince(target("room:ops"), s.cursorAt(3), stream.Frame{Bytes: []byte("joined")})
		s.serve()
		alice.got(t, "- room:ops both", "- room:ops both", "- room:ops both", "- room:ops both", "- room:ops both", "- room:ops both", "joined")
	}
}

// A broadcast is encoded once for all riders, however many have no room.
func TestRidersOfARoomShareItsFrames(t *testing.T) {
	s := withPast(t, stream.Config{})
	for i := 1; i <= 10; i++ {
		s.deliver(i, fmt.Sprint(i), "room:a")
	}
	enc := &counting{}
	var all []*session
	for i := range 6 {
		c := &session{room: i % 2}
		c.Attachment, _, _ = s.Attach(stream.Asker{}, c, enc, s.cursorAt(2), target("room:a"))
		c.Fill()
		all = append(all, c)
	}
	s.serve()
	for _, c := range all {
		c.room = 100
		c.Fill()
		if got := strings.Join(c.frames, " "); got != "3 4 5 6 7 8 9 10" {
			t.Errorf("got %q", got)
		}
	}
	if enc.made != 8 {
		t.Errorf("%d frames were made for 8 messages", enc.made)
	}
}

// A frame for a rider is all that stays of what it was read with.
func TestFrameOfARiderSharesNoMemoryWithTheLog(t *testing.T) {
	s := away(t, stream.Config{}, 10)
	out := &keeping{}
	a, _, _ := s.Attach(stream.Asker{}, out, &counting{}, s.cursorAt(1), target("user:alice"))
	a.Fill()
	b, _ := s.NextBackfill()
	m := message("id-2", "two", "user:alice")
	b.Add([]domain.Entry{{Position: pos(2)}}, []*domain.Message{m})
	s.Abandon(b)
	clear(m.Data)
	if len(out.frames) != 1 || string(out.frames[0].Bytes) != "two" {
		t.Errorf("got %v", out.frames)
	}
}

// keeping is an Outbox that keeps frames as they are.
type keeping struct{ frames []stream.Frame }

func (k *keeping) Offer(f stream.Frame) bool {
	k.frames = append(k.frames, f)
	return true
}

// counting encodes for all sessions alike.
type counting struct{ made int }

func (e *counting) Message(_ domain.System, m *domain.Message, _ domain.Target, _ domain.Cursor) stream.Frame {
	e.made++
	return stream.Frame{Bytes: m.Data}
}

func (e *counting) Gap(domain.System, domain.GapReason, domain.Cursor) stream.Frame {
	return stream.Frame{}
}
