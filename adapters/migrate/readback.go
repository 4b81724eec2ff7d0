package migrate

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

// Echoes tell who has published when his messages have come back, and so have
// their place in the order: known by their payloads, which all buses carry as
// they are.
type readbacks struct {
	seed maphash.Seed

	mu      sync.Mutex
	waiting map[uint64][]*readback // by payload; guarded by mu
}

// An readback is what one call has published.
type readback struct {
	payloads []uint64
	missing  int           // guarded by the echoes' mu
	back     chan struct{} // closed when all have come back
}

// expect waits for messages that are about to be published. Forget it in any
// case.
func (e *readbacks) expect(messages []*message.Message) *readback {
	x := &readback{missing: len(messages), back: make(chan struct{})}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range messages {
		h := maphash.Bytes(e.seed, m.Payload)
		x.payloads = append(x.payloads, h)
		e.waiting[h] = append(e.waiting[h], x)
	}
	if x.missing == 0 {
		close(x.back)
	}
	return x
}

func (e *readbacks) forget(x *readback) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range x.payloads {
		e.waiting[h] = slices.DeleteFunc(e.waiting[h], func(w *readback) bool { return w == x })
		if len(e.waiting[h]) == 0 {
			delete(e.waiting, h)
		}
	}
}

// hear notes what has come.
func (e *readbacks) hear(batch []domain.Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range batch {
		if len(e.waiting) == 0 {
			return
		}
		h := maphash.Bytes(e.seed, batch[i].Body)
		// One for each: the same payload may have been published twice.
		if waiting := e.waiting[h]; len(waiting) > 0 {
			x := waiting[0]
			if x.missing--; x.missing == 0 {
				close(x.back)
			}
			if e.waiting[h] = waiting[1:]; len(waiting) == 1 {
				delete(e.waiting, h)
			}
		}
	}
}
