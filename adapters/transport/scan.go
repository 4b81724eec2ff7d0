package transport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// Scan reads what the topic's log holds now: what follows after, with continuity
// proven; or, if after is "", what the log holds from the time from on. It ends at
// what was the tail when it began, or when yield returns false. What is published
// meanwhile may be given to yield, too. The entries are yield's.
//
// Scan returns the location up to which the log was read. If there was nothing to
// read, that is after itself, or where the log would have been read. Errors are as
// in [Transport.Replay].
func (t *Transport) Scan(
	ctx context.Context, topic string, after domain.Position, from time.Time,
	yield func([]domain.Entry) (more bool),
) (domain.Location, error) {
	at, err := t.scan(ctx, topic, after, from, yield)
	if err != nil {
		return at, fmt.Errorf("transport: scan %q: %w", topic, err)
	}
	return at, nil
}

func (t *Transport) scan(
	ctx context.Context, topic string, after domain.Position, from time.Time,
	yield func([]domain.Entry) (more bool),
) (at domain.Location, err error) {
	if t.log == nil {
		return at, domain.ErrUnsupported
	}
	if err := t.CheckTopic(topic); err != nil {
		return at, err
	}
	if err := t.enter(); err != nil {
		return at, err
	}
	defer t.running.Done()
	ctx, cancel := t.bound(ctx)
	defer cancel()
	feed, tail, err := t.followTo(ctx, topic, after, from)
	if err != nil {
		return at, t.readError(ctx, err)
	}
	at = domain.Location{Log: feed.Log(), Position: feed.Begin()}
	if at.Position >= tail {
		t.closeFeed(topic, feed)
		return at, nil
	}
	bounded, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	idle := time.AfterFunc(readTimeout, func() { stop(errReadTimeout) })
	defer idle.Stop()
	copies := provenance.Reader{}
	err = t.readAll(bounded, topic, feed, func(batch []domain.Entry) bool {
		idle.Reset(readTimeout)
		before := at.Position
		at.Position = batch[len(batch)-1].Position
		return yield(copies.Read(batch, at.Log, before)) && at.Position < tail
	})
	if cause := context.Cause(bounded); err != nil && errors.Is(cause, errReadTimeout) {
		err = cause
	}
	if err != nil {
		err = t.readError(ctx, err)
	}
	return at, err
}

// Tail returns the location of the last entry of the topic's log. If the log holds
// none, it returns one at or before everything that will come. Errors are as in
// [Transport.Scan].
func (t *Transport) Tail(ctx context.Context, topic string) (domain.Location, error) {
	at, err := t.Scan(ctx, topic, "", time.Now(), func([]domain.Entry) bool { return false })
	if err != nil {
		return at, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.FollowTimeout)
	defer cancel()
	if at.Position, err = t.log.Tail(ctx, topic); err != nil {
		return at, fmt.Errorf("transport: tail of %q: %w", topic, busError(err))
	}
	return at, nil
}

// followTo opens a feed after a position, or from a time on if the position is "",
// and returns where the log ends.
func (t *Transport) followTo(
	ctx context.Context, topic string, after domain.Position, from time.Time,
) (Feed, domain.Position, error) {
	if after == "" {
		return t.followSince(ctx, topic, from)
	}
	feed, err := t.follow(ctx, topic, after)
	if err != nil {
		return nil, "", err
	}
	bounded, cancel := context.WithTimeout(ctx, t.cfg.FollowTimeout)
	defer cancel()
	tail, err := t.log.Tail(bounded, topic)
	if err != nil {
		t.closeFeed(topic, feed)
		return nil, "", err
	}
	return feed, tail, nil
}

// readError makes of a failure to read a log again what the caller is told.
func (t *Transport) readError(ctx context.Context, err error) error {
	switch {
	case t.closing.Err() != nil:
		return wrapSentinel(err, domain.ErrClosed)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, new(*GapError)):
		return err
	}
	return notClosed(busError(err))
}
