package natscore

import (
	"context"
	"time"

	"github.com/fanfarebus/fanfare/adapters/natsconn"
	"github.com/fanfarebus/fanfare/domain"
)

// nackPause is how long a group's member waits before it is given a refused
// message again.
const nackPause = 100 * time.Millisecond

// A membership is a feed in a queue group.
type membership struct {
	*feed
	rest []domain.Entry // of the last batch
}

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

// A delivery is a message that nobody but its member has any more.
type delivery struct{ entry domain.Entry }

func (d delivery) Entry() domain.Entry               { return d.entry }
func (d delivery) Ack() error                        { return nil }
func (d delivery) InProgress() error                 { return nil }
func (d delivery) InProgressInterval() time.Duration { return 0 }

func (d delivery) Nack(ctx context.Context) (again bool, err error) {
	timer := time.NewTimer(nackPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
