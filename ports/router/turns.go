package router

import (
	"context"
	"slices"
	"sync"

	"github.com/fanfarebus/fanfare/domain/stream"
)

const (
	// maxReading is how many logs are read again at a time.
	maxReading = 4
	// maxReadingFor is how many of these for one user: so that one who asks in many
	// systems does not keep all others waiting.
	maxReadingFor = 2
)

// A reading is what somebody wants read of a log.
type reading interface {
	Asker() stream.Asker
	Weight() float64 // the smallest comes first
}

// Turns say who may read a log again now: few at a time, and first those for whom
// least was read. The zero turns is ready. It is safe for concurrent use.
type turns struct {
	mu      sync.Mutex
	running int            // guarded by mu
	users   map[string]int // of these, by user; guarded by mu
	waiting []*turn        // in the order in which they came; guarded by mu
}

type turn struct {
	reading
	come chan struct{} // closed when it is its turn
}

// take waits for the reading's turn, which lasts until done is called; not ok if
// ctx ended first.
func (t *turns) take(ctx context.Context, r reading) (done func(), ok bool) {
	mine := &turn{reading: r, come: make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, mine)
	t.next()
	t.mu.Unlock()
	done = func() { t.end(mine) }
	select {
	case <-mine.come:
		return done, true
	case <-ctx.Done():
	}
	t.mu.Lock()
	i := slices.Index(t.waiting, mine)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.mu.Unlock()
	if i < 0 { // its turn has come at the same time
		done()
	}
	return nil, false
}

// end gives a turn back.
func (t *turns) end(mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	if user := mine.Asker().User; t.users[user] > 1 {
		t.users[user]--
	} else {
		delete(t.users, user)
	}
	t.next()
}

// next lets begin whoever may. Call it with mu held.
func (t *turns) next() {
	for t.running < maxReading {
		first, least := -1, 0.0
		for i, w := range t.waiting {
			if user := w.Asker().User; user != "" && t.users[user] >= maxReadingFor {
				continue
			}
			if weight := w.Weight(); first < 0 || weight < least {
				first, least = i, weight
			}
		}
		if first < 0 {
			return
		}
		mine := t.waiting[first]
		t.waiting = slices.Delete(t.waiting, first, first+1)
		t.running++
		if t.users == nil {
			t.users = make(map[string]int)
		}
		t.users[mine.Asker().User]++
		close(mine.come)
	}
}
