package router_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/ports/router"
)

// Somebody who comes with one forged cursor after the other keeps the reader of
// the log busy for as long as he likes. Who resumes honestly has her turn.
func TestLookupsWithoutEndDoNotKeepABackfillWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		past := &fakeLog{origins: []domain.LogID{9}}
		for i := range 50 {
			past.entries = append(past.entries, record(i+1, fmt.Sprintf(`{"to":"user:alice","id":"%d","data":%d}`, i+1, i+1)))
		}
		r := start(t, bus, router.Config{Replayer: past})
		s := stream.New(system(t, "orders"), stream.Config{HasLog: true, Messages: 5, Backlog: stream.NewBudget(1 << 20)})
		lookups := 0
		forge := func() { resumeAt(s, domain.Cursor{Log: 9, Position: record(lookups, "").Position, Time: time.Now()}) }
		past.locate = func(wanted []domain.Location) {
			lookups++
			forge() // while this one is looked for, the next one is there
			time.Sleep(time.Second)
			if lookups > 100 {
				t.Error("a hundred lookups, and no backfill between them")
				past.locate = func([]domain.Location) {}
			}
		}
		if err := r.Open(s); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		bus.confirm("orders")
		synctest.Wait()
		bus.send("orders", past.entries...)
		forge()
		time.Sleep(time.Second / 2)
		alice := resume(s, 10)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(alice.got) != 40 || lookups > 3 {
			t.Errorf("alice got %d messages after %d lookups, want 40 after the one that was under way", len(alice.got), lookups)
		}
		past.locate = func([]domain.Location) {}
	})
}

// Whoever wants much read in many systems has turns in two at a time. In the
// others nobody waits until it is his again.
func TestOneUsersReadingsInManySystemsKeepNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		past := &fakeLog{}
		for i := range 50 {
			past.entries = append(past.entries, record(i+1, fmt.Sprintf(`{"to":"user:alice","id":"%d","data":%d}`, i+1, i+1)))
		}
		var mu sync.Mutex // guards begun
		begun := make(map[string]bool)
		past.replay = func(topic string) {
			mu.Lock()
			begun[topic] = true
			mu.Unlock()
			time.Sleep(time.Second)
		}
		r := start(t, bus, router.Config{Replayer: past})
		reads := stream.NewReads(100_000, time.Now)
		var streams []*stream.Stream
		for i := range 20 {
			name := fmt.Sprint("s", i)
			s := stream.New(system(t, name), stream.Config{HasLog: true, Messages: 5, Backlog: stream.NewBudget(1 << 20), Reads: reads})
			if err := r.Open(s); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			bus.confirm(name)
			synctest.Wait()
			bus.send(name, past.entries...)
			streams = append(streams, s)
		}
		synctest.Wait()
		for _, s := range streams {
			resumeFor(stream.Asker{User: "eve"}, s, 10)
		}
		time.Sleep(time.Second / 2)
		mu.Lock()
		waits := slices.IndexFunc(streams, func(s *stream.Stream) bool { return !begun[s.System().String()] })
		mu.Unlock()
		alice := resumeFor(stream.Asker{User: "alice"}, streams[waits], 10)
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if len(alice.got) != 40 {
			t.Errorf("alice got %d messages, want 40 after her own reading", len(alice.got))
		}
		time.Sleep(time.Minute) // all have their turn
	})
}

// A reading that goes on for long has one turn after the other, and gives each
// back: sessions that were away for less long are not kept waiting.
func TestLongReadingHasItsTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		past := &fakeLog{}
		for i := range 50 {
			past.entries = append(past.entries, record(i+1, fmt.Sprintf(`{"to":"user:alice","id":"%d","data":%d}`, i+1, i+1)))
		}
		var turns atomic.Int64
		past.replay = func(string) { turns.Add(1); time.Sleep(time.Second) }
		r := start(t, bus, router.Config{Replayer: past})
		s := stream.New(system(t, "orders"), stream.Config{HasLog: true, Messages: 5, MaxScan: 20, Backlog: stream.NewBudget(1 << 20)})
		if err := r.Open(s); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		bus.confirm("orders")
		synctest.Wait()
		bus.send("orders", past.entries...)
		synctest.Wait()
		far := resumeFor(stream.Asker{User: "alice"}, s, 3)
		time.Sleep(time.Second / 2)
		near := resumeFor(stream.Asker{User: "bob"}, s, 30)
		time.Sleep(2 * time.Second) // one turn for alice, and then bob's
		synctest.Wait()
		if far, near := far.count(), near.count(); far != 20 || near != 20 {
			t.Errorf("the far one got %d messages, the near one %d; want 20 each", far, near)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := turns.Load(); len(far.got) != 47 || n != 4 {
			t.Errorf("the far one got %d messages in %d turns, want 47 in 3 and one of the other", len(far.got), n)
		}
	})
}

// A reading that takes longer than a turn may is not given up.
func TestSlowLogIsReadInManyTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		past := &fakeLog{pace: time.Second}
		for i := range 50 {
			past.entries = append(past.entries, record(i+1, fmt.Sprintf(`{"to":"user:alice","id":"%d","data":%d}`, i+1, i+1)))
		}
		r := start(t, bus, router.Config{Replayer: past, ReplayTimeout: 5500 * time.Millisecond})
		s := stream.New(system(t, "orders"), stream.Config{HasLog: true, Messages: 5, Backlog: stream.NewBudget(1 << 20)})
		if err := r.Open(s); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		bus.confirm("orders")
		synctest.Wait()
		bus.send("orders", past.entries...)
		synctest.Wait()
		alice := resume(s, 10)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(alice.got) != 40 || alice.got[0] != "11" {
			t.Errorf("alice got %q, want 40 messages", alice.got)
		}
		past.pace = 6 * time.Second
		late := resume(s, 10)
		time.Sleep(time.Minute)
		synctest.Wait()
		late.want(t, "gap too_far", "46", "47", "48", "49", "50")
	})
}

// That a survey fails tells nothing of the logs that there are copies of.
func TestSurveyThatFailsIsDoneAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := newBus()
		past := &fakeLog{origins: []domain.LogID{9}, survey: domain.ErrUnsupported}
		looked := 0
		past.locate = func([]domain.Location) { looked++ }
		r := start(t, bus, router.Config{Replayer: past})
		s := stream.New(system(t, "orders"), stream.Config{HasLog: true, Messages: 5, Backlog: stream.NewBudget(1 << 20)})
		if err := r.Open(s); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		bus.confirm("orders")
		synctest.Wait()
		moved := domain.Cursor{Log: 9, Position: record(1, "").Position, Time: time.Now()}
		first := resumeAt(s, moved)
		synctest.Wait()
		first.want(t, "gap unknown_cursor") // and does not wait for ever
		past.survey = nil
		resumeAt(s, moved)
		synctest.Wait()
		if looked != 1 {
			t.Errorf("the position was looked for %d times, want once", looked)
		}
	})
}

func resumeFor(who stream.Asker, s *stream.Stream, at int) *listener {
	l := &listener{}
	alice, err := domain.UserTarget("alice")
	if err != nil {
		panic(err)
	}
	a, _, _ := s.Attach(who, l, l, domain.Cursor{Log: 1, Position: record(at, "").Position, Time: time.Now()}, alice)
	a.Fill()
	return l
}
