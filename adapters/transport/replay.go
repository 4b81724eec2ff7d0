package transport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// readTimeout is how long reading a log again waits for the next batch before it
// has come to where it is to begin or end.
const readTimeout = 5 * time.Second

var errReadTimeout = fmt.Errorf("%w: the log is not read to its end in time", domain.ErrBusDown)

// Replay reads a log again. It gives yield, batch by batch, what follows after, with
// continuity proven, until yield returns false or ctx ends. At the log's tail it
// waits for more: the caller bounds it.
//
// If from is not zero, yield is first given what the log still holds between from
// and after, after included, so that the caller can learn what came before. That
// is best effort. No batch holds entries of both parts.
//
// The entries are yield's. If after names a log, the topic's log must be that one:
// the topic may have become another log since somebody got the position.
//
// The error is nil when yield ended the replay. Otherwise it wraps
//
//   - a [*domain.GapError] when it is not proven that what would come next follows
//     what came last, at the beginning or later,
//   - [domain.ErrBusDown] when the broker cannot be reached,
//   - [domain.ErrUnsupported] without a log,
//   - [domain.ErrInvalid] if after has no position,
//   - [domain.ErrClosed] when the Transport is closed,
//   - or the context's error.
func (t *Transport) Replay(
	ctx context.Context, topic string, after domain.Location, from time.Time,
	yield func([]domain.Entry) (more bool),
) error {
	if err := t.replay(ctx, topic, after, from, yield); err != nil {
		return fmt.Errorf("transport: replay %q: %w", topic, err)
	}
	return nil
}

func (t *Transport) replay(
	ctx context.Context, topic string, after domain.Location, from time.Time,
	yield func([]domain.Entry) (more bool),
) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !t.guarantees.Log:
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
		return t.readError(ctx, err)
	}
	return nil
}

// A replay is one call of [Transport.Replay].
type replay struct {
	t     *Transport
	ctx   context.Context
	topic string
	log   domain.LogID // 0: whichever it is
	after domain.Position
	yield func([]domain.Entry) (more bool)

	reached bool // the feed has come to after: what it brings next is proven to follow
	stopped bool // yield has returned false
	copies  provenance.Reader
}

// run reads what comes before, if it is wanted, and then what follows after. For
// the latter it goes on with the same feed if that has come to after, else it opens
// one there.
func (r *replay) run(from time.Time) error {
	if !from.IsZero() && r.t.log != nil {
		err := r.approach(from)
		switch {
		case r.stopped || r.reached:
			return err
		case err != nil && !errors.As(err, new(*GapError)):
			return err // without what came before, repetitions would not be recognised
		}
	}
	feed, err := r.t.follow(r.ctx, r.topic, r.after)
	if err != nil {
		return err
	}
	if err := r.checkLog(feed); err != nil {
		return err
	}
	return r.readAll(r.ctx, feed, r.pass)
}

// checkLog closes the feed and returns an error if it reads another log.
func (r *replay) checkLog(feed Feed) error {
	if r.log == 0 || feed.Log() == r.log {
		return nil
	}
	r.t.closeFeed(r.topic, feed)
	return errAnotherLog()
}

// readAll is [Transport.readAll] for entries with their provenance.
func (r *replay) readAll(
	ctx context.Context, feed Feed, use func([]domain.Entry) (more bool),
) error {
	before := feed.Begin()
	return r.t.readAll(ctx, r.topic, feed, func(batch []domain.Entry) bool {
		last := batch[len(batch)-1].Position
		batch = r.copies.Read(batch, feed.Log(), before)
		before = last
		return use(batch)
	})
}

// approach reads from a time on, up to after. If it meets the very entry at after,
// it stays with the feed, for what that brings next is proven to follow. Otherwise
// it ends at the first entry behind after, or where the log ends before that.
func (r *replay) approach(from time.Time) error {
	feed, tail, err := r.t.followSince(r.ctx, r.topic, from)
	if err != nil {
		return err
	}
	if err := r.checkLog(feed); err != nil {
		return err
	}
	r.reached = feed.Begin() == r.after
	end := min(r.after, tail)
	if !r.reached && feed.Begin() >= end {
		r.t.closeFeed(r.topic, feed)
		return nil
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	idle := time.AfterFunc(readTimeout, func() { cancel(errReadTimeout) })
	defer idle.Stop()
	err = r.readAll(ctx, feed, func(batch []domain.Entry) bool {
		idle.Stop()
		n := r.upToAfter(batch)
		if n > 0 && !r.pass(batch[:n:n]) {
			return false
		}
		if n < len(batch) {
			return r.reached && r.pass(batch[n:])
		}
		if !r.reached {
			idle.Reset(readTimeout)
		}
		return r.reached || batch[n-1].Position < end
	})
	if cause := context.Cause(ctx); errors.Is(cause, errReadTimeout) {
		return cause
	}
	return err
}

// upToAfter returns how many entries of a batch lie at or before after, and notes
// whether after is reached.
func (r *replay) upToAfter(batch []domain.Entry) (n int) {
	for !r.reached && n < len(batch) && batch[n].Position <= r.after {
		r.reached = batch[n].Position == r.after
		n++
	}
	return n
}

// pass gives a batch to yield, and notes whether it wants more.
func (r *replay) pass(batch []domain.Entry) (more bool) {
	more = r.yield(batch)
	r.stopped = !more
	return more
}
