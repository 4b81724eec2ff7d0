package transport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport/provenance"
	"github.com/fanfarebus/fanfare/domain"
)

// Scan reads what the topic's log holds now: behind after, with continuity
// proven; or, if after is "", from the time from on. It ends at the tail as it
// was when Scan began, or when yield returns false; what comes meanwhile may be
// given too. The entries are yield's.
//
// It returns the log, and the position up to which it was read: after itself,
// or where the log began to be read, if there was nothing. Errors are as
// Replay's; without a log, domain.ErrUnsupported.
func (t *Transport) Scan(ctx context.Context, topic string, after domain.Position, from time.Time,
	yield func([]domain.Entry) (more bool)) (domain.Location, error) {
	at, err := t.scan(ctx, topic, after, from, yield)
	if err != nil {
		return at, fmt.Errorf("transport: scan %q: %w", topic, err)
	}
	return at, nil
}

func (t *Transport) scan(ctx context.Context, topic string, after domain.Position, from time.Time,
	yield func([]domain.Entry) (more bool)) (at domain.Location, err error) {
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
		return at, t.scanError(ctx, err)
	}
	at = domain.Location{Log: feed.Log(), Position: feed.Begin()}
	if at.Position >= tail {
		t.shut(topic, feed)
		return at, nil
	}
	bounded, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	idle := time.AfterFunc(approachIdle, func() { stop(errIdle) })
	defer idle.Stop()
	past := provenance.Originals{}
	err = t.drain(bounded, topic, feed, func(batch []domain.Entry) bool {
		idle.Reset(approachIdle)
		before := at.Position
		at.Position = batch[len(batch)-1].Position
		return yield(past.Reveal(batch, at.Log, before)) && at.Position < tail
	})
	if cause := context.Cause(bounded); err != nil && errors.Is(cause, errIdle) {
		err = cause
	}
	if err != nil {
		err = t.scanError(ctx, err)
	}
	return at, err
}

// Tail returns the place of the last entry of the topic's log; if it holds none,
// one at or before all that will come. Errors are Scan's.
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

// followTo opens a feed, and says where the log ends.
func (t *Transport) followTo(ctx context.Context, topic string, after domain.Position, from time.Time) (Feed, domain.Position, error) {
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
		t.shut(topic, feed)
		return nil, "", err
	}
	return feed, tail, nil
}

// scanError says what a failure of reading a log again is.
func (t *Transport) scanError(ctx context.Context, err error) error {
	lost := (*GapError)(nil)
	switch {
	case t.ending.Err() != nil:
		return mark(err, domain.ErrClosed)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &lost):
		return err
	}
	return notClosed(busError(err))
}
