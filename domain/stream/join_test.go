package stream_test

import (
	"fmt"
	"testing"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

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

func TestJoinSinceAnUnknownCursorIsAGapWithoutACursor(t *testing.T) {
	s := withPast(t, stream.Config{})
	alice := s.attach("user:alice")
	s.deliver(1, "hers", "user:alice")
	alice.JoinSince(target("room:ops"), domain.Cursor{Log: logA + 1, Position: pos(1)}, stream.Frame{Bytes: []byte("joined")})
	lookUp(s.Stream, nil)
	s.deliver(2, "room", "room:ops")
	alice.got(t, "1 user:alice hers", "gap unknown_cursor -", "joined", "2 room:ops room")
}

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

// Each room that is joined later knows what was heard through all others.
func TestJoiningSeveralRoomsRepeatsNothing(t *testing.T) {
	f := begun(t, stream.Config{HasLog: true})
	s := f.attach("user:alice", "room:a")
	f.deliver(1, "one", "user:alice", "room:c")
	f.deliver(2, "two", "room:a", "room:d")
	f.deliver(3, "three", "room:b", "room:c", "room:d")
	for _, room := range []string{"room:b", "room:c", "room:d"} {
		s.JoinSince(target(room), f.cursorAt(0), stream.Frame{Bytes: []byte("x x " + room)})
	}
	s.gotData(t, "one", "two", "three", "room:b", "room:c", "room:d")
}

// A gap in what was missed in a room says nothing of the session's own cursor, and
// does not set it back.
func TestRoomThatIsOvertakenIsAGapWithoutACursor(t *testing.T) {
	f := begun(t, stream.Config{HasLog: true, Messages: 4})
	s := f.attach("user:alice")
	f.deliver(1, "room", "room:a")
	f.deliver(2, "room", "room:a")
	f.deliver(3, "hers", "user:alice")
	s.room = 1
	s.JoinSince(target("room:a"), f.cursorAt(0), stream.Frame{Bytes: []byte("joined")})
	f.deliver(4, "others", "user:bob")
	f.deliver(5, "others", "user:bob")
	f.deliver(6, "hers", "user:alice")
	s.room = 100
	s.Fill()
	s.got(t, "3 user:alice hers", "- room:a room", "gap overflow -", "joined", "6 user:alice hers")
}
