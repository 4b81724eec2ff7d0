package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// ErrMoved says that a topic has been moved before.
var ErrMoved = errors.New("the new bus has taken over already")

// ErrNoBridge says that nothing shows that a Bridge copies a topic now.
var ErrNoBridge = errors.New("no bridge is seen to copy it now, so nothing was done")

// lookEvery is how often Prove and Leave look how far the Bridge is.
const lookEvery = 100 * time.Millisecond

// Prove returns nil if a Bridge copies the topic from the one bus to the other
// now, and keeps up. The copies that are there do not show it: the Bridge that
// made them may have died since. So Prove puts a probe on the old bus, which is
// nobody's message, and waits until its copy is on the new one; what was
// published before the probe has been copied then, too.
//
// While a bus is down it waits. When ctx ends first that is ErrNoBridge, with
// what Prove has seen. A topic that has moved is ErrMoved; one whose new bus
// carries something else is ErrNotACopy. These leave the buses as they are.
func Prove(ctx context.Context, from, to *transport.Transport, topic string) error {
	if _, err := prove(ctx, from, to, topic); err != nil {
		return fmt.Errorf("move: %q: %w", topic, err)
	}
	return nil
}

// CutOver moves a topic: after Prove it puts the mark that ends the old bus's time
// on it, and waits until the new bus has taken over. Errors are those of Prove,
// and then nothing was done; or they say where the mark is. Doing it again is
// harmless: ErrMoved.
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
		err := s.look(ctx)
		return s.moved, err
	})
	if err != nil {
		return fmt.Errorf("the mark is on the old bus, but its copy does not come to the new one: keep the bridge running, nodes wait for it: %w", err)
	}
	return nil
}

// prove is Prove; the survey has read the new bus up to the probe's copy.
func prove(ctx context.Context, from, to *transport.Transport, topic string) (*survey, error) {
	s := &survey{from: from, to: to, topic: topic, probe: domain.NewID()}
	err := poll(ctx, func() (bool, error) {
		if !s.begun {
			if err := s.begin(ctx); err != nil {
				return false, err
			}
		}
		err := s.look(ctx)
		if err == nil && s.moved {
			err = ErrMoved
		}
		if err != nil {
			return false, err
		}
		if s.asked.Log == 0 {
			return false, s.ask(ctx)
		}
		return s.proven(), nil
	})
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoBridge, s.seen(ctx), err)
	}
	if err != nil && !errors.Is(err, ErrMoved) {
		return nil, fmt.Errorf("nothing was done: %w", err)
	}
	return s, err
}

// poll asks until there is a yes, or an error that time does not mend. When ctx
// ends first that is the error, with what was wrong until then, and not with what
// its end has broken off.
func poll(ctx context.Context, ask func() (bool, error)) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for down := error(nil); ; {
		yes, err := ask()
		if (yes || err != nil) && !errors.Is(err, domain.ErrBusDown) {
			return err
		}
		if ctx.Err() == nil {
			down = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), down)
		}
	}
}

// A survey looks how far the new bus is.
type survey struct {
	from, to *transport.Transport
	topic    string
	probe    string // the id of ours

	begun bool
	old   domain.LogID    // what is copied
	asked domain.Location // the old log's end when the probe was there; its Log is 0 before that
	last  domain.Position // the latest copy's place in the old log
	first domain.Position // last, when the probe was put there
	at    domain.Position // looked at up to there, in the new log

	back    bool // the probe's copy was seen
	moved   bool
	foreign bool // something there was not copied from the old log
}

func (s *survey) begin(ctx context.Context) error {
	end, err := s.from.Tail(ctx, s.topic)
	s.old, s.begun = end.Log, err == nil
	return err
}

// ask puts the probe on the old bus. If that may have failed it is put there
// again, under the same id.
func (s *survey) ask(ctx context.Context) error {
	if err := s.from.PublishContext(ctx, s.topic, provenance.NewProbe(s.probe)); err != nil {
		return err
	}
	end, err := s.from.Tail(ctx, s.topic)
	if err != nil {
		return err
	}
	s.old, s.asked, s.first = end.Log, end, s.last
	return nil
}

// proven says whether something was copied that was published no earlier than
// the probe: the probe itself, or, if the old bus did not keep it long enough,
// what came after it.
func (s *survey) proven() bool { return s.back || s.last >= s.asked.Position }

// seen tells what there is instead of a proof.
func (s *survey) seen(ctx context.Context) string {
	switch {
	case s.asked.Log == 0:
		return "the buses did not answer in time"
	case s.marked(ctx):
		return "the mark is on the old bus since an earlier try, and its copy does not come; start the bridge, nodes wait for it"
	case s.last > s.first:
		return "copies come, but they do not get to the end of the old bus; the bridge is behind, wait longer"
	}
	return "nothing was copied from the old bus to the new one meanwhile; does `fanfare bridge` run, from and to these buses, for this system?"
}

// markWait is how long the old bus is searched for a mark.
const markWait = 2 * time.Second

// marked says whether a mark is found among what was not copied from the old bus.
func (s *survey) marked(ctx context.Context) (found bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), markWait)
	defer cancel()
	_, _ = s.from.Scan(ctx, s.topic, s.last, time.Time{}, func(batch []domain.Entry) bool {
		found = slices.ContainsFunc(batch, func(e domain.Entry) bool { return e.Kind == domain.MovedAway })
		return !found
	}) // what cannot be read was not found
	return found
}

// look reads what has come to the new bus since the last look.
func (s *survey) look(ctx context.Context) error {
	place, err := s.to.Scan(ctx, s.topic, s.at, time.Time{}, func(batch []domain.Entry) bool {
		for i := range batch {
			s.note(&batch[i])
		}
		return true
	})
	s.at = place.Position
	if err == nil && s.foreign && !s.moved {
		return ErrNotACopy
	}
	return err
}

func (s *survey) note(e *domain.Entry) {
	s.moved = s.moved || isEvidence(*e)
	if !isCopy(e, s.old) {
		s.foreign = s.foreign || e.Kind == domain.Record
		return
	}
	s.last = max(s.last, e.Origins[0].Position)
	s.back = s.back || e.UUID == s.probe
}

// isCopy says whether an entry was copied from the log: from itself, and not by
// way of another one.
func isCopy(e *domain.Entry, log domain.LogID) bool {
	return len(e.Origins) > 0 && e.Origins[0].Log == log
}

// isStrange says whether an entry must not be on the new bus before it has taken
// over: it is no copy from the log, and nobody's probe, which others pass over.
func isStrange(e *domain.Entry, log domain.LogID) bool {
	return !isCopy(e, log) && (e.Kind != domain.Control || len(e.Origins) > 0)
}

// strange says whether one of them is.
func strange(batch []domain.Entry, log domain.LogID) bool {
	return slices.ContainsFunc(batch, func(e domain.Entry) bool { return isStrange(&e, log) })
}
