package migrate

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// checkpoint returns the location in the old log up to which everything is on
// the new bus, and when the old log took the entry there.
func (c *copier) checkpoint() (domain.Location, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.copied, c.copiedTime
}

// advance moves the checkpoint to a location, unless that is before it in the
// same log.
func (c *copier) advance(to domain.Location, t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to.Log != c.copied.Log || to.Position > c.copied.Position {
		c.copied, c.copiedTime = to, t
	}
}

// findCheckpoint finds the last copy on the new bus, and sets the checkpoint to
// its origin. It reads the newest entries first, since the last copy is mostly
// among them, and the whole log only if it is not. If there is no copy, the
// checkpoint is the beginning of the old log.
func (c *copier) findCheckpoint(ctx context.Context) (found bool, err error) {
	old, err := c.bridge.from.Tail(ctx, c.topic)
	if err != nil {
		return false, err
	}
	for _, since := range []time.Time{time.Now().Add(-2 * c.bridge.cfg.AnnounceEvery), {}} {
		foundHere, foreign, err := c.searchCopies(ctx, old, since)
		if err != nil {
			return false, err
		}
		found = found || foundHere
		if (found || since.IsZero()) && foreign && !c.moved.Load() {
			return false, ErrNotACopy
		}
		if found {
			return true, nil
		}
	}
	c.mu.Lock()
	c.copied = domain.Location{Log: old.Log}
	c.mu.Unlock()
	return false, nil
}

// searchCopies reads the new bus from a time on, and advances the checkpoint to
// the origin of each copy. It reports whether there was a copy, and whether
// there was something foreign (see isForeign).
func (c *copier) searchCopies(
	ctx context.Context, old domain.Location, since time.Time,
) (found, foreign bool, err error) {
	search := func(batch []domain.Entry) bool {
		for i := range batch {
			e := &batch[i]
			if !isCopy(e, old.Log) {
				foreign = foreign || isForeign(e, old.Log)
				continue
			}
			found = true
			c.advance(e.Origins[0], e.Time)
			if showsMove(e) {
				c.moved.Store(true)
			}
		}
		return true
	}
	last, err := c.bridge.to.Scan(ctx, c.topic, "", since, search)
	if err != nil {
		return false, false, err
	}
	c.mu.Lock()
	c.checked = last.Position
	c.mu.Unlock()
	return found, foreign, nil
}

// announce writes to the new bus that it has taken over, for nodes that start
// long after the move, and how far the topic is copied, for the next Bridge.
func (c *copier) announce(ctx context.Context) error {
	if !c.moved.Load() {
		return nil
	}
	copied, t := c.checkpoint()
	upTo := provenance.Origin{Locations: []domain.Location{copied}, Time: t, Late: true}
	return c.publish(ctx, provenance.NewMovedHere(domain.NewID(), upTo))
}

// check reads what has come to the new bus since the last check. Until the new
// bus has taken over, anything foreign there is ErrNotACopy.
func (c *copier) check(ctx context.Context) error {
	if c.moved.Load() {
		return nil
	}
	c.mu.Lock()
	checked, old := c.checked, c.copied.Log
	c.mu.Unlock()
	foreign := false
	search := func(batch []domain.Entry) bool {
		foreign = foreign || anyForeign(batch, old)
		return true
	}
	since := time.Now().Add(-2 * c.bridge.cfg.CheckEvery)
	last, err := c.bridge.to.Scan(ctx, c.topic, checked, since, search)
	if lost := (*domain.GapError)(nil); errors.As(err, &lost) {
		// The new log was trimmed past checked. The next check begins two
		// intervals back.
		last, err = domain.Location{}, nil
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.checked = last.Position
	c.mu.Unlock()
	if foreign && !c.moved.Load() {
		return ErrNotACopy
	}
	return nil
}

// isCopy reports whether an entry was copied directly from the log, and not by
// way of another one.
func isCopy(e *domain.Entry, log domain.LogID) bool {
	return len(e.Origins) > 0 && e.Origins[0].Log == log
}

// isForeign reports whether an entry must not be on the new bus before that has
// taken over: it is no copy from the log, and no probe. Probes are harmless,
// since readers skip them.
func isForeign(e *domain.Entry, log domain.LogID) bool {
	return !isCopy(e, log) && (e.Kind != domain.Control || len(e.Origins) > 0)
}

func anyForeign(batch []domain.Entry, log domain.LogID) bool {
	return slices.ContainsFunc(batch, func(e domain.Entry) bool { return isForeign(&e, log) })
}

// isOwnRecord reports whether an entry is a record that was published to
// the log it is in, and not copied there.
func isOwnRecord(e *domain.Entry) bool {
	return e.Kind == domain.Record && len(e.Origins) == 0
}

// showsMove reports whether an entry shows that the log it is in has taken over:
// it is the mark's copy, an announcement, or a copy that was made after the move.
// A mark of an earlier move that was copied together with its origins shows
// nothing.
func showsMove(e *domain.Entry) bool {
	return e.Late || e.Kind == domain.MovedHere && len(e.Origins) == 1
}
