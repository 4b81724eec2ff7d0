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
	// maxReadingFor is how many of these may be for one user, so that a user who
	// asks in many systems does not keep all others waiting.
	maxReadingFor = 2
)

// A reader wants to have a log read again. NextReader says on whose behalf, each
// time it is asked: while the reader waits for its turn, sessions may come that
// go first.
type reader interface {
	NextReader(barred func(user string) bool) (who stream.Asker, weight float64, wanted bool)
}

// Turns say who may read a log again now: a few at a time, and those first for
// whom the least was read. The zero turns is ready. It is safe for concurrent
// use.
type turns struct {
	mu      sync.Mutex
	running int            // turns that have come and not ended; guarded by mu
	users   map[string]int // of these, the number for each user; guarded by mu
	waiting []*turn        // in the order in which they were asked for; guarded by mu
}

type turn struct {
	reader
	come chan struct{} // closed when the turn has come
	user string        // for whom it is; set before come is closed
}

// take waits for the reader's turn, which lasts until done is called. Not ok
// means that ctx ended first. The channel changed receives when what the reader says may
// have changed.
func (t *turns) take(ctx context.Context, r reader, changed <-chan struct{}) (done func(), ok bool) {
	mine := &turn{reader: r, come: make(chan struct{})}
	t.wait(mine)
	done = func() { t.end(mine) }
	for {
		select {
		case <-mine.come:
			return done, true
		case <-changed:
			t.look()
		case <-ctx.Done():
			if !t.leave(mine) { // its turn has come at the same time
				done()
			}
			return nil, false
		}
	}
}

func (t *turns) wait(mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, mine)
	t.next()
}

func (t *turns) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next()
}

// leave ends the wait. It returns false if the turn has come.
func (t *turns) leave(mine *turn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting, mine)
	if i < 0 {
		return false
	}
	t.waiting = slices.Delete(t.waiting, i, i+1)
	return true
}

// end ends a turn.
func (t *turns) end(mine *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	if t.users[mine.user] > 1 {
		t.users[mine.user]--
	} else {
		delete(t.users, mine.user)
	}
	t.next()
}

// next lets the readers begin who may. The caller holds mu.
func (t *turns) next() {
	for t.running < maxReading {
		first, user := t.lightest()
		if first < 0 {
			return
		}
		mine := t.waiting[first]
		t.waiting = slices.Delete(t.waiting, first, first+1)
		t.running++
		if t.users == nil {
			t.users = make(map[string]int)
		}
		t.users[user]++
		mine.user = user
		close(mine.come)
	}
}

// barred reports whether as much is read for the user now as may be. The caller
// holds mu.
func (t *turns) barred(user string) bool { return user != "" && t.users[user] >= maxReadingFor }

// lightest returns the index of the turn that is next, and for which user it
// is; -1 if none may begin. The caller holds mu.
func (t *turns) lightest() (first int, user string) {
	first = -1
	least := 0.0
	for i, w := range t.waiting {
		who, weight, wanted := w.NextReader(t.barred)
		if wanted && (first < 0 || weight < least) {
			first, least, user = i, weight, who.User
		}
	}
	return first, user
}
