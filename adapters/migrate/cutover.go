package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// ErrMoved means that the topic has been moved before.
var ErrMoved = errors.New("the new bus has taken over already")

// ErrNoBridge means that nothing shows that a [Bridge] copies the topic now.
var ErrNoBridge = errors.New("no bridge is seen to copy it now, so nothing was done")

// pollEvery is how often Prove and CutOver look how far the Bridge is.
const pollEvery = 100 * time.Millisecond

// Prove returns nil if a [Bridge] copies the topic from one bus to the other
// now, and keeps up. Existing copies prove nothing, since the Bridge that made
// them may have died. So Prove publishes a probe on the old bus, an entry that
// readers skip, and waits until its copy is on the new bus. By then everything
// that was published before the probe has been copied, too.
//
// While a bus is down it keeps trying. If ctx ends first the error is
// [ErrNoBridge], together with what Prove has found. If the topic has been moved
// it is [ErrMoved], and if the new bus carries something else it is
// [ErrNotACopy]. Apart from the probe, Prove changes nothing.
func Prove(ctx context.Context, from, to *transport.Transport, topic string) error {
	if _, err := prove(ctx, from, to, topic); err != nil {
		return fmt.Errorf("move: %q: %w", topic, err)
	}
	return nil
}

// CutOver moves a topic. It does what [Prove] does, then puts the mark on the
// old bus, and waits until the mark's copy is on the new one.
//
// If the error is one of those of Prove, no mark was put; any other error says
// what is known about the mark. It is safe to call CutOver again: if the topic
// has moved in the meantime, that is [ErrMoved].
func CutOver(ctx context.Context, from, to *transport.Transport, topic string) error {
	if err := cutOver(ctx, from, to, topic); err != nil {
		return fmt.Errorf("move: %q: %w", topic, err)
	}
	return nil
}

func cutOver(ctx context.Context, from, to *transport.Transport, topic string) error {
	s, err := prove(ctx, from, to, topic)
	if err != nil {
		return err
	}
	if err := from.PublishContext(ctx, topic, provenance.NewMovedAway(domain.NewID())); err != nil {
		return fmt.Errorf("the mark may be on the old bus or not, do it again: %w", err)
	}
	err = poll(ctx, func() (bool, error) {
		err := s.readNew(ctx)
		return s.moved, err
	})
	if err != nil {
		return fmt.Errorf("the mark is on the old bus, but its copy does not come to the new one: "+
			"keep the bridge running, nodes wait for it: %w", err)
	}
	return nil
}

// prove does what Prove does. The survey that it returns has read the new bus up
// to the probe's copy.
func prove(ctx context.Context, from, to *transport.Transport, topic string) (*survey, error) {
	s := &survey{from: from, to: to, topic: topic, probe: domain.NewID()}
	err := poll(ctx, func() (bool, error) {
		if !s.begun {
			if err := s.begin(ctx); err != nil {
				return false, err
			}
		}
		err := s.readNew(ctx)
		if err == nil && s.moved {
			err = ErrMoved
		}
		if err != nil {
			return false, err
		}
		if s.oldTail.Log == 0 {
			return false, s.publishProbe(ctx)
		}
		return s.proven(), nil
	})
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoBridge, s.explain(ctx), err)
	}
	if err != nil && !errors.Is(err, ErrMoved) {
		return nil, fmt.Errorf("nothing was done: %w", err)
	}
	return s, err
}

// poll calls ask until it returns true or an error other than a
// domain.ErrBusDown, and returns that error. If ctx ends first, the result is
// ctx's error joined with that of the last call that ctx did not interrupt.
func poll(ctx context.Context, ask func() (done bool, err error)) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for last := error(nil); ; {
		done, err := ask()
		if (done || err != nil) && !errors.Is(err, domain.ErrBusDown) {
			return err
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), last)
		}
	}
}
