package transport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// approachIdle is how long Replay waits for the next entry on its way to the
// place where it is to begin.
const approachIdle = time.Second

// Replay reads a log again. If from is not zero, yield is first given what the
// log still holds between from and after, after included: best effort, so that
// the caller can learn what came before. Then it is given what follows after,
// with continuity proven, batch by batch, until it returns false or ctx ends.
// No batch holds entries of both kinds. At the log's tail Replay waits for
// more: the caller bounds it. The entries are yield's.
//
// The error is nil when yield ended it. It wraps a *domain.BreakError when it is
// not proven that what would come next follows what came last, at the beginning
// or later; domain.ErrBusDown when the broker cannot be reached;
// domain.ErrUnsupported without a log; domain.ErrInvalid if after is "";
// domain.ErrClosed when the Transport is closed; and the context's error.
func (t *Transport) Replay(ctx context.Context, topic string, after domain.Position, from time.Time,
	yield func([]domain.Entry) (more bool)) error {
	if err := t.replay(ctx, topic, after, from, yield); err != nil {
		return fmt.Errorf("transport: replay %q: %w", topic, err)
	}
	return nil
}

func (t *Transport) replay(ctx context.Context, topic string, after domain.Position, from time.Time,
	yield func([]domain.Entry) (more bool)) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !t.promises.Log:
		return domain.ErrUnsupported
	case after == "":
		return fmt.Errorf("%w: no position to begin at", domain.ErrInvalid)
	}
	if err := t.CheckTopic(topic); err != nil {
		return err
	}
	if err := t.enter(); err != nil {
		return err
	}
	defer t.running.Done()
	ctx, cancel := t.bound(ctx)
	defer cancel()
	r := &replay{t: t, ctx: ctx, topic: topic, after: after, yield: yield}
	err := r.run(from)
	lost := (*BreakError)(nil)
	switch {
	case err == nil:
		return nil
	case t.ending.Err() != nil:
		return mark(err, domain.ErrClosed)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &lost):
		return err
	}
	return busError(err)
}

// A replay is one call of Replay.
type replay struct {
	t     *Transport
	ctx   context.Context
	topic string
	after domain.Position
	yield func([]domain.Entry) (more bool)

	there bool // the feed has come to after: what it brings next follows that
	over  bool // yield needs no more
}

func (r *replay) run(from time.Time) error {
	if !from.IsZero() && r.t.log != nil {
		err := r.approach(from)
		var lost *BreakError
		switch {
		case r.over || r.there || r.ctx.Err() != nil:
			return err
		case err != nil && !errors.As(err, &lost) && !errors.Is(err, context.Canceled):
			return err // the broker fails: what was seen is not enough to go on with
		}
	}
	feed, err := r.t.follow(r.ctx, r.topic, r.after)
	if err != nil {
		return err
	}
	return r.t.drain(r.ctx, r.topic, feed, r.give)
}

// approach reads from a time on. Where it meets after on its way it stays with
// the feed, for what comes next is then proven to follow; else it ends at the
// first entry behind after, or when nothing comes for a while.
func (r *replay) approach(from time.Time) error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	feed, err := r.followSince(ctx, from)
	if err != nil {
		return err
	}
	idle := time.AfterFunc(approachIdle, cancel)
	defer idle.Stop()
	r.there = feed.Begin() == r.after && idle.Stop()
	return r.t.drain(ctx, r.topic, feed, func(batch []domain.Entry) bool {
		if !r.there && !idle.Stop() {
			return false // the feed is being closed
		}
		n := r.before(batch)
		if n > 0 && !r.give(batch[:n:n]) {
			return false
		}
		if n < len(batch) {
			return r.there && r.give(batch[n:])
		}
		if !r.there {
			idle.Reset(approachIdle)
		}
		return true
	})
}

// before says how many entries lie before or at after, and whether it is there.
func (r *replay) before(batch []domain.Entry) (n int) {
	for !r.there && n < len(batch) && batch[n].Position <= r.after {
		r.there = batch[n].Position == r.after
		n++
	}
	return n
}

func (r *replay) followSince(ctx context.Context, from time.Time) (Feed, error) {
	ctx, cancel := context.WithTimeout(ctx, r.t.cfg.FollowTimeout)
	defer cancel()
	return r.t.log.FollowSince(ctx, r.topic, from)
}

func (r *replay) give(batch []domain.Entry) (more bool) {
	more = r.yield(batch)
	r.over = !more
	return more
}
