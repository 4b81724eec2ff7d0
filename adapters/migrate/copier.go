package migrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// A copier copies one topic.
type copier struct {
	bridge *Bridge
	topic  string
	log    *slog.Logger

	moved atomic.Bool // the mark's copy is on the new bus

	mu sync.Mutex
	// copied is the location in the old log up to which everything is on the new
	// bus, and copiedTime is when the old log took the entry there.
	copied     domain.Location // guarded by mu
	copiedTime time.Time       // guarded by mu
	// checked is the position in the new log up to which check has looked.
	checked domain.Position // guarded by mu

	backoff pause.Backoff // used by run's goroutine only
}

// errFindAgain ends a session that has to look up its checkpoint again.
var errFindAgain = errors.New("the old bus does not lead on from the last copy")

// run copies until ctx ends. After each failure it starts a new session, which
// looks up the checkpoint on the new bus again.
func (c *copier) run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := c.session(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrNotACopy), errors.Is(err, domain.ErrClosed),
			errors.Is(err, domain.ErrUnsupported):
			return fmt.Errorf("move: copy %q: %w", c.topic, err)
		}
		c.log.Warn("copying was interrupted; trying again", "error", err)
		c.backoff.Wait(ctx)
	}
	return nil
}

// session looks up where to continue, and copies until something fails.
func (c *copier) session(ctx context.Context) error {
	found, err := c.findCheckpoint(ctx)
	if err != nil {
		return err
	}
	if !found {
		c.log.Info("copying from the beginning")
		if err := c.copyBacklog(ctx); err != nil {
			return err
		}
	}
	copied, _ := c.checkpoint()
	c.log.Info("copying", "behind", fmt.Sprintf("%x", string(copied.Position)), "moved", c.moved.Load())
	c.backoff.Reset()
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return every(ctx, c.bridge.cfg.AnnounceEvery, c.announce) })
	work.Go(func() error { return every(ctx, c.bridge.cfg.CheckEvery, c.check) })
	work.Go(func() error { return c.follow(ctx) })
	return work.Wait()
}

// every calls do once per interval, until ctx ends or do fails.
func every(ctx context.Context, interval time.Duration, do func(context.Context) error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := do(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// copyBacklog copies what the old bus holds after the checkpoint.
func (c *copier) copyBacklog(ctx context.Context) error {
	var failed error
	last, err := c.bridge.from.Scan(ctx, c.topic, "", time.Time{}, func(batch []domain.Entry) bool {
		failed = c.copy(ctx, batch)
		return failed == nil
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	c.advance(last, time.Now())
	return nil
}

// follow copies what comes after the checkpoint, as it comes.
func (c *copier) follow(ctx context.Context) error {
	copied, _ := c.checkpoint()
	var failed error
	copyBatch := func(batch []domain.Entry) bool {
		failed = c.copy(ctx, batch)
		return failed == nil
	}
	err := c.bridge.from.Replay(ctx, c.topic, copied, time.Time{}, copyBatch)
	lost := (*domain.GapError)(nil)
	switch {
	case failed != nil:
		return failed
	case errors.As(err, &lost):
		return c.skipGap(ctx, lost)
	case err == nil:
		return errFindAgain
	}
	return err
}

// skipGap continues after a gap in the old log: it writes the gap to the new bus
// and copies what the old bus still has.
func (c *copier) skipGap(ctx context.Context, lost *domain.GapError) error {
	c.log.Error("the old bus has lost entries before they were copied: a gap stands in their place",
		"reason", string(lost.Reason), "detail", lost.Detail)
	tail, err := c.bridge.from.Tail(ctx, c.topic)
	if err != nil {
		return err
	}
	copied, _ := c.checkpoint()
	if tail.Log != copied.Log {
		copied = domain.Location{Log: tail.Log}
	}
	if err := c.publish(ctx, c.newGap(copied, time.Now())); err != nil {
		return err
	}
	c.advance(rightAfter(copied), time.Now())
	if err := c.copyBacklog(ctx); err != nil {
		return err
	}
	return errFindAgain
}

// rightAfter returns a location between l and every entry that follows it. No
// entry is there, so a gap can have it as its own.
func rightAfter(l domain.Location) domain.Location {
	return domain.Location{Log: l.Log, Position: l.Position + "\x00"}
}

// newGap makes an entry for the new bus which says that something is missing
// after a location of the old log.
func (c *copier) newGap(after domain.Location, t time.Time) *message.Message {
	e := &domain.Entry{Kind: domain.Gap, UUID: domain.NewID()}
	return provenance.NewCopy(e, provenance.Origin{
		Locations: []domain.Location{rightAfter(after)},
		After:     after.Position, Time: t, Late: c.moved.Load(),
	})
}

// copy copies the entries of a batch that come after the checkpoint.
func (c *copier) copy(ctx context.Context, batch []domain.Entry) error {
	copied, _ := c.checkpoint()
	var copies []*message.Message
	for i := range batch {
		e := &batch[i]
		// A Gap has the position of the entry before it, as it is no entry of
		// the log itself.
		if e.Kind == domain.Gap && e.Position == copied.Position {
			copies = append(copies, c.newGap(copied, e.Time))
			copied = rightAfter(copied)
			continue
		}
		if e.Position <= copied.Position {
			continue
		}
		if e.Kind == domain.MovedAway && !c.moved.Load() {
			if err := c.publishAll(ctx, copies, batch[:i]); err != nil {
				return err
			}
			if err := c.copyCutoverMark(ctx, e); err != nil {
				return err
			}
			return c.copy(ctx, batch[i:])
		}
		origin := provenance.OriginOf(e, copied.Log, copied.Position, c.moved.Load())
		copies = append(copies, provenance.NewCopy(e, origin))
		copied.Position = e.Position
	}
	return c.publishAll(ctx, copies, batch)
}

// copyCutoverMark copies the mark, and so makes the new bus take over. If the new bus
// holds something before it that is no copy, nodes that come from the old bus do
// not receive that, so a gap follows the mark's copy.
func (c *copier) copyCutoverMark(ctx context.Context, e *domain.Entry) error {
	copied, _ := c.checkpoint()
	cutoverMark := domain.Location{Log: copied.Log, Position: e.Position}
	err := c.check(ctx)
	if err != nil && !errors.Is(err, ErrNotACopy) {
		return err
	}
	origin := provenance.OriginOf(e, copied.Log, copied.Position, false)
	copies := []*message.Message{provenance.NewCopy(e, origin)}
	if err != nil {
		c.log.Error("the new bus takes over, though something was published on it before: " +
			"clients are told a gap")
		copies = append(copies, c.newGap(cutoverMark, e.Time))
	}
	if err := c.publish(ctx, copies...); err != nil {
		return err
	}
	c.moved.Store(true)
	c.advance(cutoverMark, e.Time)
	c.log.Info("the new bus has taken over")
	return nil
}

// publishAll publishes the copies of a batch and advances the checkpoint to its
// end. A copy that the new bus cannot carry is replaced by a gap.
func (c *copier) publishAll(ctx context.Context, copies []*message.Message, batch []domain.Entry) error {
	for len(copies) > 0 {
		err := c.publish(ctx, copies...)
		if err == nil {
			break
		}
		partial := (*domain.PublishError)(nil)
		unfit := errors.Is(err, domain.ErrInvalid) || errors.Is(err, domain.ErrTooLarge)
		if !unfit || !errors.As(err, &partial) {
			return err
		}
		copies = copies[partial.Accepted:]
		c.log.Error("an entry is not fit for the new bus: a gap stands in its place", "error", err)
		copies[0] = provenance.AsGap(copies[0])
	}
	if len(batch) > 0 {
		last := &batch[len(batch)-1]
		copied, _ := c.checkpoint()
		c.advance(domain.Location{Log: copied.Log, Position: last.Position}, last.Time)
	}
	return nil
}

func (c *copier) publish(ctx context.Context, copies ...*message.Message) error {
	return c.bridge.to.PublishContext(ctx, c.topic, copies...)
}
