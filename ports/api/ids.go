package api

import (
	crand "crypto/rand"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/fanfarebus/fanfare/domain"
)

// ids makes ULIDs that grow within a millisecond, so that a batch's ids sort
// as the batch does. It is safe for concurrent use.
type ids struct {
	mu      *sync.Mutex
	random  io.Reader
	growing *ulid.MonotonicEntropy
}

func newIDs() ids {
	var seed [32]byte
	crand.Read(seed[:]) // never fails
	random := rand.NewChaCha8(seed)
	return ids{mu: new(sync.Mutex), random: random, growing: ulid.Monotonic(random, 0)}
}

// fill gives an id to every message that has none.
func (s ids) fill(messages []*domain.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := ulid.Timestamp(time.Now())
	for _, m := range messages {
		if m.ID != "" {
			continue
		}
		id, err := ulid.New(now, s.growing)
		if err != nil { // the random part overflowed within a millisecond
			id = ulid.MustNew(now, s.random) // ChaCha8 never fails to read
		}
		m.ID = id.String()
	}
}
