package natscore

import (
	"context"
	"time"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// nackPause is how long a message that was nacked waits before it is handed out again.
const nackPause = 100 * time.Millisecond

// A membership is a feed in a queue group.
type membership struct {
	*feed
	rest []domain.Entry // of the last batch
}

// Next returns the next message of the last batch, or of a new one.
func (m *membership) Next(ctx context.Context) (natsconn.Delivery, error) {
	if len(m.rest) == 0 {
		var err error
		if m.rest, err = m.Read(ctx); err != nil {
			return nil, err
		}
	}
	next := delivery{m.rest[0]}
	m.rest = m.rest[1:]
	return next, nil
}

// A delivery is a message that only its member has: the server keeps nothing, and is
// told nothing.
type delivery struct{ entry domain.Entry }

func (d delivery) Entry() domain.Entry               { return d.entry }
func (d delivery) Ack() error                        { return nil }
func (d delivery) InProgress() error                 { return nil }
func (d delivery) InProgressInterval() time.Duration { return 0 }

func (d delivery) Nack(ctx context.Context) (again bool, err error) {
	if !pause.For(ctx, nackPause) {
		return false, ctx.Err()
	}
	return true, nil
}
