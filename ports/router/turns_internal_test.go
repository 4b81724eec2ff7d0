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

func (w wish) Asker() stream.Asker { return stream.Asker{User: w.user} }
func (w wish) Weight() float64     { return w.weight }

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all turns
		var mu sync.Mutex // guards what follows
		var order []string
		ends := make(map[string][]func())
		ask := func(ctx context.Context, w wish) {
			go func() {
				if done, ok := all.take(ctx, w); ok {
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
			ask(ctx, wish{"eve", 5})
		}
		began := func(why string, want ...string) {
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(order, want) {
				t.Fatalf("began %v, want %v: %s", order, want, why)
			}
		}
		began("no more for one user", "eve", "eve")
		ask(t.Context(), wish{"mallory", 3})
		ask(t.Context(), wish{"mallory", 3})
		ask(t.Context(), wish{"bob", 2})
		ask(t.Context(), wish{"alice", 0})
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
