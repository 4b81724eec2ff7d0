package memory

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Back returns the position before the n-th newest record at or before upTo.
func (b *Bus) Back(
	ctx context.Context, topic string, upTo domain.Position, n int,
) (at domain.Position, start bool, err error) {
	if err := b.live(ctx); err != nil {
		return "", false, fmt.Errorf("memory: back in %q: %w", topic, err)
	}
	if upTo != "" && len(upTo) != positionSize {
		return "", false, &domain.GapError{
			Reason: domain.UnknownCursor,
			Detail: fmt.Sprintf("position %x is not one of this transport", string(upTo)),
		}
	}
	b.mu.RLock()
	l := b.topics[topic]
	b.mu.RUnlock()
	if l == nil {
		return position(0), true, nil
	}
	seq, start := l.back(upTo, n, time.Now())
	return position(seq), start, nil
}

// back returns the sequence number before the n-th newest record at or before upTo, which
// is "" or a position. If there are fewer, it returns the one before the oldest, and true.
func (l *log) back(upTo domain.Position, n int, now time.Time) (seq uint64, start bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropExpired(now)
	end := l.next - 1
	if upTo != "" {
		end = min(end, binary.BigEndian.Uint64([]byte(upTo)))
	}
	if end < l.first+uint64(n)-1 {
		return l.first - 1, true
	}
	return end - uint64(n), false
}
