package transport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// approachIdle is how long Replay waits for each batch on its way to the place
// where it is to begin.
const approachIdle = 5 * time.Second

var errIdle = fmt.Errorf("%w: the log is not read to its end in time", domain.ErrBusDown)

// Replay reads a log again. If from is not zero, yield is first given what the
// log still holds between from and after, after included: best effort, so that
// the caller can learn what came before. Then it is given what follows after,
// with continuity proven, batch by batch, until it returns false or ctx ends.
// No batch holds entries of both kinds. At the log's tail Replay waits for more:
// the caller bounds it. The entries are yield's. If after names its log, the
// topic's must be that one: it may have become another since somebody got the
// position.
//
// The error is nil when yield ended it. It wraps a *domain.GapError when it is
// not proven that what would come next follows what came last, at the beginning
// or later; domain.ErrBusDown when the broker cannot be reached;
// domain.ErrUnsupported without a log; domain.ErrInvalid if after has no position;
// domain.ErrClosed when the Transport is closed; and the context's error.
func (t *Transport) Replay(ctx context.Context, topic string, after domain.Location, from time.Time,
	yield func([]domain.Entry) (more bool)) error {
	if err := t.replay(ctx, topic, after, from, yield); err != nil {
		return fmt.Errorf("transport: replay %q: %w", topic, err)
	}
	return nil
}

func (t *Transport) replay(ctx context.Context, topic string, after domain.Location, from time.Time,
	yield func([]domain.Entry) (more bool)) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !t.promises.Log:
		return domain.ErrUnsupported
	case after.Position == "":
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
	r := &replay{t: t, ctx: ctx, topic: topic, log: after.Log, after: after.Position, yield: yield}
	if err := r.run(from); err != nil {
		return t.scanError(ctx, err)
	}
	return nil
}

// A replay is one call of Replay.
type replay struct {
	t     *Transport
	ctx   context.Context
	topic string
	log   domain.LogID // 0: whichever it is
	after domain.Position
	yield func([]domain.Entry) (more bool)

	there bool // the feed has come to after: what it brings next follows that
	over  bool // yield needs no more
	past  provenance.Originals
}

func (r *replay) run(from time.Time) error {
	if !from.IsZero() && r.t.log != nil {
		err := r.approach(from)
		lost := (*GapError)(nil)
		switch {
		case r.over || r.there:
			return err
		case err != nil && !errors.As(err, &lost):
			return err // who repeats what came before would not be recognised
		}
	}
	feed, err := r.t.follow(r.ctx, r.topic, r.after)
	if err != nil {
		return err
	}
	if err := r.check(feed); err != nil {
		return err
	}
	return r.drain(r.ctx, feed, r.give)
}

// check closes a feed of another log.
func (r *replay) check(feed Feed) error {
	if r.log == 0 || feed.Log() == r.log {
		return nil
	}
	r.t.shut(r.topic, feed)
	return &GapError{Reason: domain.UnknownCursor, Detail: "the topic has become another log"}
}

// drain is the Transport's, with copies told from what was published.
func (r *replay) drain(ctx context.Context, feed Feed, use func([]domain.Entry) (more bool)) error {
	before := feed.Begin()
	return r.t.drain(ctx, r.topic, feed, func(batch []domain.Entry) bool {
		last := batch[len(batch)-1].Position
		batch = r.past.Reveal(batch, feed.Log(), before)
		before = last
		return use(batch)
	})
}

// approach reads from a time on. Where it meets after on its way it stays with
// the feed, for what comes next is then proven to follow; else it ends at the
// first entry behind after, or where the log ends before that.
func (r *replay) approach(from time.Time) error {
	feed, tail, err := r.t.followSince(r.ctx, r.topic, from)
	if err != nil {
		return err
	}
	if err := r.check(feed); err != nil {
		return err
	}
	r.there = feed.Begin() == r.after
	end := min(r.after, tail)
	if !r.there && feed.Begin() >= end {
		r.t.shut(r.topic, feed)
		return nil
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	idle := time.AfterFunc(approachIdle, func() { cancel(errIdle) })
	defer idle.Stop()
	err = r.drain(ctx, feed, func(batch []domain.Entry) bool {
		idle.Stop()
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
		return r.there || batch[n-1].Position < end
	})
	if cause := context.Cause(ctx); errors.Is(cause, errIdle) {
		return cause
	}
	return err
}

// before says how many entries lie before or at after, and whether it is there.
func (r *replay) before(batch []domain.Entry) (n int) {
	for !r.there && n < len(batch) && batch[n].Position <= r.after {
		r.there = batch[n].Position == r.after
		n++
	}
	return n
}

func (r *replay) give(batch []domain.Entry) (more bool) {
	more = r.yield(batch)
	r.over = !more
	return more
}
