package migrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// A copier copies one topic.
type copier struct {
	b    *Bridge
	name string
	log  *slog.Logger

	copied, unfit atomic.Uint64
	moved         atomic.Bool

	mu      sync.Mutex
	at      domain.Location // everything up to there, on the old bus, is on the new one; guarded by mu
	time    time.Time       // of the entry there; guarded by mu
	checked domain.Position // everything up to there, on the new bus, was copied from the old one; guarded by mu

	pause time.Duration // before the next try; run's alone
}

// errAgain ends a session that has to find its place anew.
var errAgain = errors.New("the old bus does not lead on from the last copy")

// run copies until ctx ends. Whenever something fails, it looks again how far
// the new bus is.
func (c *copier) run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := c.session(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrNotACopy), errors.Is(err, domain.ErrClosed), errors.Is(err, domain.ErrUnsupported):
			return fmt.Errorf("move: copy %q: %w", c.name, err)
		}
		c.log.Warn("copying was interrupted; trying again", "error", err)
		c.sleep(ctx)
	}
	return nil
}

func (c *copier) sleep(ctx context.Context) {
	c.pause = min(max(c.b.cfg.RetryMin, 2*c.pause), c.b.cfg.RetryMax)
	timer := time.NewTimer(c.pause/2 + rand.N(c.pause/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// session finds out where to go on, and copies until something fails.
func (c *copier) session(ctx context.Context) error {
	found, err := c.find(ctx)
	if err != nil {
		return err
	}
	if !found {
		c.log.Info("copying from the beginning")
		if err := c.copyAll(ctx); err != nil {
			return err
		}
	}
	at, _ := c.location()
	c.log.Info("copying", "behind", fmt.Sprintf("%x", string(at.Position)), "moved", c.moved.Load())
	c.pause = 0
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return every(ctx, c.b.cfg.HereEvery, c.sayHere) })
	work.Go(func() error { return every(ctx, c.b.cfg.CheckEach, c.check) })
	work.Go(func() error { return c.copyOn(ctx) })
	return work.Wait()
}

// every calls do until ctx ends or do fails.
func every(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := do(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// find finds the latest copy on the new bus. A look at the newest entries
// mostly does.
func (c *copier) find(ctx context.Context) (found bool, err error) {
	old, err := c.b.from.Tail(ctx, c.name)
	if err != nil {
		return false, err
	}
	for _, from := range []time.Time{time.Now().Add(-2 * c.b.cfg.HereEvery), {}} {
		foreign := false
		last, err := c.b.to.Scan(ctx, c.name, "", from, func(batch []domain.Entry) bool {
			for i := range batch {
				e := &batch[i]
				if !isCopy(e, old.Log) {
					foreign = foreign || isStrange(e, old.Log)
					continue
				}
				found = true
				c.reach(e.Origins[0], e.Time)
				if e.Late || e.Kind == domain.MovedHere && len(e.Origins) == 1 {
					c.moved.Store(true)
				}
			}
			return true
		})
		if err != nil {
			return false, err
		}
		c.mu.Lock()
		c.checked = last.Position
		c.mu.Unlock()
		if (found || from.IsZero()) && foreign && !c.moved.Load() {
			return false, ErrNotACopy
		}
		if found {
			return true, nil
		}
	}
	c.mu.Lock()
	c.at = domain.Location{Log: old.Log}
	c.mu.Unlock()
	return false, nil
}

// location is how far the new bus is, and when that was published.
func (c *copier) location() (domain.Location, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at, c.time
}

func (c *copier) reach(at domain.Location, t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.Log != c.at.Log || at.Position > c.at.Position {
		c.at, c.time = at, t
	}
}

// copyAll copies what the old bus holds, but what was copied before.
func (c *copier) copyAll(ctx context.Context) error {
	var failed error
	last, err := c.b.from.Scan(ctx, c.name, "", time.Time{}, func(batch []domain.Entry) bool {
		failed = c.copy(ctx, batch)
		return failed == nil
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	c.reach(last, time.Now())
	return nil
}

// copyOn copies what comes behind the latest copy, as it comes.
func (c *copier) copyOn(ctx context.Context) error {
	at, _ := c.location()
	var failed error
	err := c.b.from.Replay(ctx, c.name, at, time.Time{}, func(batch []domain.Entry) bool {
		failed = c.copy(ctx, batch)
		return failed == nil
	})
	lost := (*domain.GapError)(nil)
	switch {
	case failed != nil:
		return failed
	case errors.As(err, &lost):
		return c.leap(ctx, lost)
	case err == nil:
		return errAgain
	}
	return err
}

// leap goes on behind a gap, with what the old bus still has.
func (c *copier) leap(ctx context.Context, lost *domain.GapError) error {
	c.log.Error("the old bus has lost entries before they were copied: a gap stands in their place",
		"reason", string(lost.Reason), "detail", lost.Detail)
	now, err := c.b.from.Tail(ctx, c.name)
	if err != nil {
		return err
	}
	at, _ := c.location()
	if now.Log != at.Log {
		at = domain.Location{Log: now.Log}
	}
	if err := c.publish(ctx, c.gap(at, time.Now())); err != nil {
		return err
	}
	c.reach(behind(at), time.Now())
	if err := c.copyAll(ctx); err != nil {
		return err
	}
	return errAgain
}

// behind is the place right behind another: before all that come behind that.
func behind(p domain.Location) domain.Location {
	return domain.Location{Log: p.Log, Position: p.Position + "\x00"}
}

// gap says that something behind a place is missing.
func (c *copier) gap(at domain.Location, t time.Time) *message.Message {
	e := &domain.Entry{Kind: domain.Gap, UUID: domain.NewID()}
	return provenance.NewCopy(e, provenance.Origin{
		Locations: []domain.Location{behind(at)}, After: at.Position, Time: t, Late: c.moved.Load()})
}

// copy copies a batch, but what was copied before.
func (c *copier) copy(ctx context.Context, batch []domain.Entry) error {
	at, _ := c.location()
	var copies []*message.Message
	for i := range batch {
		e := &batch[i]
		if e.Kind == domain.Gap && e.Position == at.Position { // found missing there: it is no entry itself
			copies = append(copies, c.gap(at, e.Time))
			at = behind(at)
			continue
		}
		if e.Position <= at.Position {
			continue
		}
		if e.Kind == domain.MovedAway && !c.moved.Load() {
			if err := c.publishAll(ctx, copies, batch[:i]); err != nil {
				return err
			}
			copies, batch = nil, batch[i:]
			if err := c.cutOver(ctx, e); err != nil {
				return err
			}
			return c.copy(ctx, batch)
		}
		copies = append(copies, provenance.NewCopy(e, provenance.OriginOf(e, at.Log, at.Position, c.moved.Load())))
		at.Position = e.Position
	}
	return c.publishAll(ctx, copies, batch)
}

// cutOver copies the mark. What is no copy and stands before it would be missed by
// whoever comes from the old bus: a gap says so.
func (c *copier) cutOver(ctx context.Context, e *domain.Entry) error {
	last, _ := c.location()
	place := domain.Location{Log: last.Log, Position: e.Position}
	err := c.check(ctx)
	if err != nil && !errors.Is(err, ErrNotACopy) {
		return err
	}
	copies := []*message.Message{provenance.NewCopy(e, provenance.OriginOf(e, last.Log, last.Position, false))}
	if err != nil {
		c.log.Error("the new bus takes over, though something was published on it before: clients are told a gap")
		copies = append(copies, c.gap(place, e.Time))
	}
	if err := c.publish(ctx, copies...); err != nil {
		return err
	}
	c.moved.Store(true)
	c.copied.Add(1)
	c.reach(place, e.Time)
	c.log.Info("the new bus has taken over")
	return nil
}

// publishAll publishes the copies of a batch. What is not fit for the new bus
// becomes a gap.
func (c *copier) publishAll(ctx context.Context, copies []*message.Message, batch []domain.Entry) error {
	for len(copies) > 0 {
		err := c.publish(ctx, copies...)
		part := (*domain.PublishError)(nil)
		unfit := errors.Is(err, domain.ErrInvalid) || errors.Is(err, domain.ErrTooLarge)
		if !unfit || !errors.As(err, &part) {
			if err != nil {
				return err
			}
			c.copied.Add(uint64(len(copies)))
			break
		}
		c.copied.Add(uint64(part.Accepted))
		copies = copies[part.Accepted:]
		c.unfit.Add(1)
		c.log.Error("an entry is not fit for the new bus: a gap stands in its place", "error", err)
		copies[0] = provenance.AsGap(copies[0])
	}
	if n := len(batch); n > 0 {
		at, _ := c.location()
		c.reach(domain.Location{Log: at.Log, Position: batch[n-1].Position}, batch[n-1].Time)
	}
	return nil
}

func (c *copier) publish(ctx context.Context, copies ...*message.Message) error {
	return c.b.to.PublishContext(ctx, c.name, copies...)
}

// sayHere tells those who come late that the new bus has taken over, and the
// next Bridge how far this one was.
func (c *copier) sayHere(ctx context.Context) error {
	if !c.moved.Load() {
		return nil
	}
	at, t := c.location()
	return c.publish(ctx, provenance.NewMovedHere(domain.NewID(), provenance.Origin{Locations: []domain.Location{at}, Time: t, Late: true}))
}

// check looks at what has come to the new bus since the last time. Before it has
// taken over, everything must be a copy.
func (c *copier) check(ctx context.Context) error {
	if c.moved.Load() {
		return nil
	}
	c.mu.Lock()
	behind, old := c.checked, c.at.Log
	c.mu.Unlock()
	foreign := false
	last, err := c.b.to.Scan(ctx, c.name, behind, time.Now().Add(-2*c.b.cfg.CheckEach), func(batch []domain.Entry) bool {
		foreign = foreign || strange(batch, old)
		return true
	})
	if lost := (*domain.GapError)(nil); errors.As(err, &lost) {
		last, err = domain.Location{}, nil // trimmed: from two rounds back, the next time
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
