package jetstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/fanfarebus/fanfare/domain"
)

// newestRead remembers the newest message that was read of each log. A server whose
// machine crashed may have lost its newest messages, and then gives their sequences to
// other messages. Only the time at which a message was stored shows that. newestRead is
// safe for concurrent use.
type newestRead struct {
	mu    sync.Mutex
	byLog map[domain.LogID]storedMessage // guarded by mu
}

// A storedMessage identifies a message of a stream.
type storedMessage struct {
	seq  uint64
	time time.Time // when the server stored it
}

// maxLogs is how many logs a newestRead remembers.
const maxLogs = 4096

// note remembers a message that was read.
func (n *newestRead) note(id domain.LogID, m storedMessage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byLog == nil || len(n.byLog) >= maxLogs {
		n.byLog = make(map[domain.LogID]storedMessage)
	}
	if n.byLog[id].seq <= m.seq {
		n.byLog[id] = m
	}
}

func (n *newestRead) forget(id domain.LogID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.byLog, id)
}

// prove returns a gap if seq is the newest message that was read, and the stream now
// holds another message there. If the stream holds no message there, that proves
// nothing: it may have been deleted or trimmed.
func (n *newestRead) prove(ctx context.Context, js jetstream.JetStream, l topicLog, seq uint64) error {
	n.mu.Lock()
	known, ok := n.byLog[l.id]
	n.mu.Unlock()
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
		n.forget(l.id)
		return gapError(domain.UnknownCursor, "stream %s lost message %d, which was read, "+
			"and has given its number to another", l.stream, seq)
	}
	return nil
}
