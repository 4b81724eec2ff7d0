package jetstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/domain"
)

// A newestRead knows the newest message that was read of each log. A server that
// lost its newest messages, as one may whose machine crashed, gives their
// sequences to others, and nothing but the messages' times tells. It is safe for
// concurrent use.
type newestRead struct {
	mu    sync.Mutex
	byLog map[domain.LogID]storedMessage // guarded by mu
}

type storedMessage struct {
	seq  uint64
	time time.Time
}

// maxSeen is how many logs a memory knows.
const maxLogs = 4096

// note notes a message that was read.
func (m *newestRead) note(id domain.LogID, s storedMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byLog == nil || len(m.byLog) >= maxLogs {
		m.byLog = make(map[domain.LogID]storedMessage)
	}
	if m.byLog[id].seq <= s.seq {
		m.byLog[id] = s
	}
}

func (m *newestRead) forget(id domain.LogID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byLog, id)
}

// prove proves that the stream still holds the message at seq that was read,
// if that was the newest one. A message that is gone proves nothing.
func (m *newestRead) prove(ctx context.Context, js jetstream.JetStream, l topicLog, seq uint64) error {
	m.mu.Lock()
	known, ok := m.byLog[l.id]
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
	case !now.Time.Equal(known.time):
		m.forget(l.id)
		return gapError(domain.UnknownCursor, "stream %s lost message %d, which was read, and has given its number to another", l.stream, seq)
	}
	return nil
}
