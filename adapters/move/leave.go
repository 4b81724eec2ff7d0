package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// ErrMoved says that a topic has been moved before.
var ErrMoved = errors.New("the new bus has taken over already")

// lookEvery is how often Leave looks how far the Bridge is.
const lookEvery = 100 * time.Millisecond

// Leave moves a topic: it puts the mark that ends the old bus's time on it, and
// waits until the new bus has taken over. It does so only if a Bridge keeps up:
// its copies must come to the old bus's tail within the time that ctx allows, or
// nothing is done. While a bus is down it waits. Doing it again is harmless:
// ErrMoved.
func Leave(ctx context.Context, from, to *transport.Transport, topic string) error {
	if err := leave(ctx, from, to, topic); err != nil {
		return fmt.Errorf("move: %q: %w", topic, err)
	}
	return nil
}

func leave(ctx context.Context, from, to *transport.Transport, topic string) error {
	s := survey{from: from, to: to, topic: topic}
	err := poll(ctx, func() (bool, error) {
		err := s.look(ctx)
		if err == nil && s.moved {
			err = ErrMoved
		}
		return s.copied, err
	})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("the copies on the new bus do not come to the end of the old one: does a bridge run? Nothing was done: %w", err)
	}
	if err != nil {
		return err
	}
	if err := from.PublishContext(ctx, topic, transport.NewLeave(domain.NewID())); err != nil {
		return fmt.Errorf("the mark may be on the old bus or not, do it again: %w", err)
	}
	err = poll(ctx, func() (bool, error) {
		err := s.look(ctx)
		return s.moved, err
	})
	if err != nil {
		return fmt.Errorf("the mark is on the old bus, but its copy does not come to the new one: keep the bridge running, nodes wait for it: %w", err)
	}
	return nil
}

// poll asks until there is a yes, or an error that time does not mend.
func poll(ctx context.Context, ask func() (bool, error)) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		yes, err := ask()
		if (yes || err != nil) && !errors.Is(err, domain.ErrBusDown) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// A survey looks how far the new bus is.
type survey struct {
	from, to *transport.Transport
	topic    string

	end    domain.Place    // of the old log, when it was first looked at
	last   domain.Position // the latest copy's place there
	at     domain.Position // looked at up to there, in the new log
	copied bool            // everything up to end
	moved  bool

	foreign bool // something there is no copy
}

func (s *survey) look(ctx context.Context) (err error) {
	if s.end.Log == 0 {
		if s.end, err = s.from.Tail(ctx, s.topic); err != nil {
			return err
		}
		empty := true
		if _, err = s.from.Scan(ctx, s.topic, "", time.Time{}, func([]domain.Entry) bool { empty = false; return false }); err != nil {
			return err
		}
		s.copied = empty
	}
	place, err := s.to.Scan(ctx, s.topic, s.at, time.Time{}, func(batch []domain.Entry) bool {
		s.moved = s.moved || slices.ContainsFunc(batch, isEvidence)
		s.foreign = s.foreign || slices.ContainsFunc(batch, isForeign)
		if at, known := domain.PlaceIn(batch[len(batch)-1].Also, s.end.Log); known {
			s.last = max(s.last, at)
		}
		return true
	})
	s.at = place.Position
	s.copied = s.copied || s.last >= s.end.Position
	if err == nil && s.foreign && !s.moved {
		return ErrForeign
	}
	return err
}
