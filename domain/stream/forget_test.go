package stream_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// Names that clients make up and never use again leave nothing behind.
func TestNamesThatNeverComeAgainAreForgotten(t *testing.T) {
	for name, act := range map[string]func(f *fixture){
		"rooms that are joined and left in a circle": func(f *fixture) {
			s := f.attach("user:alice")
			for i := range 30_000 {
				room := target(fmt.Sprint("room:once-", i))
				s.Join(room)
				s.Leave(room)
			}
			s.Detach()
		},
		"a crowd that comes and goes": func(f *fixture) {
			crowd := make([]*session, 20_000)
			for i := range crowd {
				crowd[i] = f.attach(fmt.Sprint("user:u", i), fmt.Sprint("room:once-", i), "room:lobby")
			}
			f.deliver(1, "the lobby stays", "room:lobby")
			for _, s := range crowd {
				s.Detach()
			}
		},
		"cursors of positions that are none": func(f *fixture) {
			for i := range 20_000 {
				s := f.by(fmt.Sprint("user-", i%1000), domain.Cursor{Log: domain.LogID(i + 100), Position: pos(i)})
				for range 10 {
					l, wanted := f.NextLookup()
					if !wanted {
						break
					}
					f.Surveyed(l, nil, true)
				}
				s.Detach()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := begun(t, stream.Config{HasLog: true, Backlog: stream.NewBudget(1 << 20)})
			before := heap()
			act(f)
			if grown := heap() - before; grown > 128<<10 {
				t.Errorf("%d KiB are left", grown>>10)
			}
			if st := f.Stats(); st.Sessions != 0 || st.Replaying != 0 {
				t.Errorf("left: %+v", st)
			}
		})
	}
}

// So do systems: what their windows held goes back to the node's budget.
func TestSystemsThatNeverComeAgainAreForgotten(t *testing.T) {
	now := time.Now()
	budget, past := stream.NewBudget(64<<20), stream.NewBudget(64<<20)
	h := stream.NewHub(quiet{}, stream.HubConfig{Any: true, MaxSystems: 10, AttachWait: time.Nanosecond,
		Stream: stream.Config{Budget: budget, Backlog: past, HasLog: true, Now: func() time.Time { return now }}})
	for i := range 200 {
		sys, err := domain.ParseSystem(fmt.Sprint("system-", i))
		if err != nil {
			t.Fatal(err)
		}
		lease, err := h.Acquire(t.Context(), "", sys)
		if err != nil {
			t.Fatal(err)
		}
		start(lease.Stream, logA, pos(0), now)
		for k := range 100 {
			record(lease.Stream, pos(k+1), now, message(fmt.Sprint(k), "x", fmt.Sprint("room:r", k)))
		}
		lease.Release()
		now = now.Add(time.Hour)
		h.Sweep()
	}
	if n := len(h.Streams()); n != 0 || budget.Used() != 0 || past.Used() != 0 {
		t.Errorf("%d systems are left, and %d and %d bytes", n, budget.Used(), past.Used())
	}
}

// quiet brings nothing.
type quiet struct{}

func (quiet) Open(*stream.Stream) error { return nil }
func (quiet) Close(*stream.Stream)      {}

// However often one session asks for positions, it waits for one of them.
func TestSessionWaitsForOneLookupAtATime(t *testing.T) {
	s := withPast(t, stream.Config{})
	for i := range 10 {
		s.deliver(i+1, "x", "user:alice")
	}
	alice := s.by("alice", s.cursorAt(1))
	for i := range 1000 {
		if alice.JoinSince(target(fmt.Sprint("room:", i)), s.cursorAt(2), stream.Frame{Bytes: []byte("done")}) {
			t.Fatal("it waits for two")
		}
	}
	if n := s.Stats().Replaying; n != 1 {
		t.Errorf("%d wait, want 1", n)
	}
}
