package stream_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A verbatim Encoder returns the data as they are.
type verbatim struct{}

func (verbatim) Message(_ domain.System, m *domain.Message, _ domain.Target, _ domain.Cursor) stream.Frame {
	if m.Data == nil {
		return stream.Frame{Bytes: []byte("nil")}
	}
	return stream.Frame{Bytes: m.Data}
}

func (verbatim) Gap(domain.System, domain.GapReason, domain.Cursor) stream.Frame {
	return stream.Frame{}
}

// A shelf is an Outbox that keeps what it takes.
type shelf []stream.Frame

func (s *shelf) Offer(f stream.Frame) bool { *s = append(*s, f); return true }

func (f *fixture) verbatimFrom(since domain.Cursor, to string) *shelf {
	out := new(shelf)
	a, _, _ := f.Attach(stream.Asker{}, out, verbatim{}, since, target(to))
	a.Fill()
	return out
}

func TestDataAreTheSameFromTheWindowAsTheyWereLive(t *testing.T) {
	f := begun(t, stream.Config{})
	live := f.verbatimFrom(domain.Cursor{}, "user:alice")
	for i, data := range [][]byte{nil, {}, []byte("x"), {0xff, 0}, []byte(strings.Repeat("long", 50_000))} {
		f.record(pos(i+1), time.Time{}, &domain.Message{
			ID: fmt.Sprint(i), To: []domain.Target{target("user:alice")}, Data: data, ContentType: domain.Binary})
	}
	again := f.verbatimFrom(f.cursorAt(0), "user:alice")
	if len(*live) != 5 || len(*again) != 5 {
		t.Fatalf("live %d, from the window %d", len(*live), len(*again))
	}
	for i, f := range *live {
		g := (*again)[i]
		if string(f.Bytes) != string(g.Bytes) || (f.Bytes == nil) != (g.Bytes == nil) {
			t.Errorf("message %d is %.20q live, and %.20q from the window", i, f.Bytes, g.Bytes)
		}
	}
}

// A slow client's queue holds the frames that are in it, and not the window that
// they were read from.
func TestFramesKeepNothingOfTheWindow(t *testing.T) {
	now := time.Now()
	f := begun(t, stream.Config{Age: time.Minute, Now: func() time.Time { return now }})
	for i := range 20_000 {
		to := "user:bob"
		if i%50 == 0 { // in each chunk one, about
			to = "user:alice"
		}
		f.deliver(i+1, strings.Repeat("x", 1000), to)
	}
	frames := f.verbatimFrom(f.cursorAt(0), "user:alice")
	now = now.Add(time.Hour)
	f.deliver(20_001, "the last", "user:bob")
	with := heap()
	size := 0
	for _, frame := range *frames {
		size += cap(frame.Bytes)
	}
	*frames = nil
	if kept := with - heap(); len(*frames) != 0 || kept > int64(size)+100_000 {
		t.Errorf("frames of %d bytes kept %d in memory", size, kept)
	}
	runtime.KeepAlive(f)
}

// Sessions that come back to a room share its frames, for as long as there are
// such sessions.
func TestFramesOfARoomAreEncodedOnceForManyWhoComeBack(t *testing.T) {
	budget := stream.NewBudget(64 << 20)
	f := begun(t, stream.Config{Budget: budget})
	for i := range 100 {
		f.deliver(i+1, fmt.Sprint(i), "room:lobby")
	}
	before := f.Stats().Bytes
	var all [3]shelf
	for i := range all {
		all[i] = *f.verbatimFrom(f.cursorAt(0), "room:lobby")
	}
	shared := 0
	for i, frame := range all[0] {
		if &frame.Bytes[0] == &all[1][i].Bytes[0] && &frame.Bytes[0] == &all[2][i].Bytes[0] {
			shared++
		}
	}
	if shared < 95 { // two in a set is all there is room for
		t.Errorf("%d of 100 frames are shared", shared)
	}
	if st := f.Stats(); st.Bytes <= before || st.Bytes != budget.Used() {
		t.Errorf("with frames it counts %d bytes, without %d, and the budget says %d", st.Bytes, before, budget.Used())
	}
	f.Sweep()
	f.Sweep()
	if st := f.Stats(); st.Bytes != before || st.Bytes != budget.Used() {
		t.Errorf("after a while it counts %d bytes, before it was %d, and the budget says %d", st.Bytes, before, budget.Used())
	}
}

// However large they are, frames that are kept take a small part of the budget.
func TestKeptFramesAreBounded(t *testing.T) {
	f := begun(t, stream.Config{Budget: stream.NewBudget(32 << 20)})
	for i := range 100 {
		f.deliver(i+1, strings.Repeat("x", 20_000), "*")
	}
	before := f.Stats().Bytes
	if got := f.verbatimFrom(f.cursorAt(0), "user:alice"); len(*got) != 100 {
		t.Fatalf("%d frames", len(*got))
	}
	if kept := f.Stats().Bytes - before; kept <= 0 || kept > 32<<20/64 {
		t.Errorf("%d bytes of frames are kept", kept)
	}
}

// Of several targets, a session is told the first that is its own, live and from
// the window.
func TestFirstTargetIsTheOneThatIsTold(t *testing.T) {
	f := begun(t, stream.Config{})
	many := make([]string, 0, 30)
	for i := range 20 {
		many = append(many, fmt.Sprint("room:r", i))
	}
	many = append(many, "room:ops", "user:alice", "room:ops", "*")
	live := f.attach("user:alice", "room:ops")
	f.deliver(1, "a", "user:bob", "user:alice", "room:ops")
	f.deliver(2, "b", "*", "room:ops", "user:alice")
	f.deliver(3, "c", many...)
	again := f.join(f.cursorAt(0), "user:alice", "room:ops")
	again.Fill()
	want := []string{"1 user:alice a", "2 * b", "3 room:ops c"}
	live.got(t, want...)
	again.got(t, want...)
}
