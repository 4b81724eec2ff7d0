package router_test

import (
	"fmt"
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
		r := start(t, bus, router.Config{Past: past})
		s := stream.New(system(t, "orders"), stream.Config{HasLog: true, Messages: 5, Past: stream.NewBudget(1 << 20)})
		lookups := 0
		forge := func() { resumeAt(s, domain.Cursor{Log: 9, Position: record(lookups, "").Position, Time: time.Now()}) }
		past.locate = func(wanted []domain.Place) {
			lookups++
			forge() // while this one is looked for, the next one is there
			time.Sleep(time.Second)
			if lookups > 100 {
				t.Error("a hundred lookups, and no backfill between them")
				past.locate = func([]domain.Place) {}
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
		past.locate = func([]domain.Place) {}
	})
}
