package jetstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/domain"
)

// A memory knows the newest message that was read of each log. A server that
// lost its newest messages, as one may whose machine crashed, gives their
// sequences to others, and nothing but the messages' times tells. It is safe for
// concurrent use.
type memory struct {
	mu   sync.Mutex
	seen map[domain.LogID]seen // guarded by mu
}

type seen struct {
	seq uint64
	at  time.Time
}

// maxSeen is how many logs a memory knows.
const maxSeen = 4096

// keep notes a message that was read.
func (m *memory) keep(id domain.LogID, s seen) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil || len(m.seen) >= maxSeen {
		m.seen = make(map[domain.LogID]seen)
	}
	if m.seen[id].seq <= s.seq {
		m.seen[id] = s
	}
}

func (m *memory) forget(id domain.LogID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.seen, id)
}

// prove proves that the stream still holds the message at seq that was read,
// if that was the newest one. A message that is gone proves nothing.
func (m *memory) prove(ctx context.Context, js jetstream.JetStream, l log, seq uint64) error {
	m.mu.Lock()
	known, ok := m.seen[l.id]
	m.mu.Unlock()
	if !ok || known.seq != seq {
		return nil
	}
	stream, err := js.Stream(ctx, l.stream)
	if err != nil {
		return err
	}
	switch now, err := stream.GetMsg(ctx, seq); {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil
	case err != nil:
		return err
	case !now.Time.Equal(known.at):
		m.forget(l.id)
		return lost(domain.UnknownCursor, "stream %s lost message %d, which was read, and has given its number to another", l.stream, seq)
	}
	return nil
}
