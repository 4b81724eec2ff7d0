package migrate

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// readbacks tells publishers when a subscription has read back the messages that
// they published, so that the messages have their position in the order. It
// recognises messages by their payloads, since every bus carries those
// unchanged. It is safe for concurrent use.
type readbacks struct {
	seed maphash.Seed

	mu      sync.Mutex
	waiting map[uint64][]*readback // by the payload's hash; guarded by mu
}

// A readback stands for the messages of one call of PublishContext.
type readback struct {
	payloads []uint64      // their hashes
	missing  int           // how many have not been read back; guarded by readbacks.mu
	done     chan struct{} // closed when all have been read back

	// last is where the last message was read. It is set before done is closed;
	// guarded by readbacks.mu until then.
	last transport.Stored
}

func newReadbacks() *readbacks {
	return &readbacks{seed: maphash.MakeSeed(), waiting: make(map[uint64][]*readback)}
}

// expect registers messages that are about to be published. The caller must
// call forget in the end, in any case.
func (r *readbacks) expect(messages []*message.Message) *readback {
	expected := &readback{missing: len(messages), done: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range messages {
		hash := maphash.Bytes(r.seed, m.Payload)
		expected.payloads = append(expected.payloads, hash)
		r.waiting[hash] = append(r.waiting[hash], expected)
	}
	if expected.missing == 0 {
		close(expected.done)
	}
	return expected
}

func (r *readbacks) forget(expected *readback) {
	r.mu.Lock()
	defer r.mu.Unlock()
	isExpected := func(other *readback) bool { return other == expected }
	for _, hash := range expected.payloads {
		r.waiting[hash] = slices.DeleteFunc(r.waiting[hash], isExpected)
		if len(r.waiting[hash]) == 0 {
			delete(r.waiting, hash)
		}
	}
}

// observe takes a batch into account that a subscription has read in a log, or as its
// entries say in others after it. It returns the log that is read then.
func (r *readbacks) observe(log domain.LogID, batch []domain.Entry) domain.LogID {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range batch {
		e := &batch[i]
		switch e.Kind {
		case domain.Start, domain.Gap, domain.MovedHere:
			log = e.Log
		}
		if len(r.waiting) == 0 {
			continue
		}
		hash := maphash.Bytes(r.seed, e.Body)
		waiting := r.waiting[hash]
		if len(waiting) == 0 {
			continue
		}
		// Each entry counts for one message only, since the same payload may
		// have been published twice.
		first := waiting[0]
		first.last = transport.Stored{At: domain.Location{Log: log, Position: e.Position}, Time: e.Time}
		if first.missing--; first.missing == 0 {
			close(first.done)
		}
		if r.waiting[hash] = waiting[1:]; len(waiting) == 1 {
			delete(r.waiting, hash)
		}
	}
	return log
}
