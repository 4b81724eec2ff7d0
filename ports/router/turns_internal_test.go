package router

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/fanfarebus/fanfare/domain/stream"
)

type wish struct {
	user   string
	weight float64
}

func (w *wish) NextReader(barred func(string) bool) (who stream.Asker, weight float64, wanted bool) {
	return stream.Asker{User: w.user}, w.weight, w.user != "" && !barred(w.user)
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all turns
		var mu sync.Mutex // guards what follows
		var order []string
		ends := make(map[string][]func())
		ask := func(ctx context.Context, w *wish) {
			go func() {
				if done, ok := all.take(ctx, w, nil); ok {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, w.user)
					ends[w.user] = append(ends[w.user], done)
				}
			}()
			synctest.Wait()
		}
		end := func(user string) {
			mu.Lock()
			done := ends[user][0]
			ends[user] = ends[user][1:]
			mu.Unlock()
			done()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 10 {
			ask(ctx, &wish{"eve", 5})
		}
		began := func(why string, want ...string) {
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(order, want) {
				t.Fatalf("began %v, want %v: %s", order, want, why)
			}
		}
		began("no more for one user", "eve", "eve")
		ask(t.Context(), &wish{"mallory", 3})
		ask(t.Context(), &wish{"mallory", 3})
		ask(t.Context(), &wish{"bob", 2})
		ask(t.Context(), &wish{"alice", 0})
		end("eve")
		end("eve")
		began("the lightest first", "eve", "eve", "mallory", "mallory", "alice", "bob")
		cancel() // eve's others go
		synctest.Wait()
		for _, user := range []string{"mallory", "mallory", "alice", "bob"} {
			end(user)
		}
		if all.running != 0 || len(all.waiting) != 0 || len(all.users) != 0 {
			t.Errorf("left: %d running, %d waiting, users %v", all.running, len(all.waiting), all.users)
		}
	})
}

// While a reader waits for its turn, somebody else may come there, or all may go.
func TestTurnsAreForSessionsThatWaitWhenTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all turns
		var busy []func()
		for range maxReadingFor {
			done, _ := all.take(t.Context(), &wish{"eve", 5}, nil)
			busy = append(busy, done)
		}
		w, changed := &wish{"eve", 5}, make(chan struct{})
		began := make(chan func(), 1)
		go func() {
			if done, ok := all.take(t.Context(), w, changed); ok {
				began <- done
			}
		}()
		change := func(user string) {
			all.mu.Lock()
			w.user, w.weight = user, 0
			all.mu.Unlock()
			changed <- struct{}{}
			synctest.Wait()
		}
		change("")
		if len(began) != 0 {
			t.Error("a turn for nobody")
		}
		change("alice")
		if len(began) != 1 {
			t.Fatal("alice waits behind eve's other readings")
		}
		w.user = "bob" // who reads on where alice's place was too far
		(<-began)()
		for _, done := range busy {
			done()
		}
		if all.running != 0 || len(all.waiting) != 0 || len(all.users) != 0 {
			t.Errorf("left: %d running, %d waiting, users %v", all.running, len(all.waiting), all.users)
		}
	})
}
