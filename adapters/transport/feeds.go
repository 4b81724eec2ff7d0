package transport

import (
	"context"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// What subscriptions, replays and scans share: opening, reading and closing the
// driver's feeds.

// bound returns a context that ends with ctx or when the Transport is closed. The
// function releases it.
func (t *Transport) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(t.closing, cancel)
	return ctx, func() { forget(); cancel() }
}

// follow is the driver's Follow, bounded by Config.FollowTimeout.
func (t *Transport) follow(ctx context.Context, topic string, after domain.Position) (Feed, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.FollowTimeout)
	defer cancel()
	return t.driver.Follow(ctx, topic, after)
}

// followSince is the driver's FollowSince, bounded by Config.FollowTimeout; it
// also returns where the log ends.
func (t *Transport) followSince(
	ctx context.Context, topic string, from time.Time,
) (Feed, domain.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.FollowTimeout)
	defer cancel()
	feed, err := t.log.FollowSince(ctx, topic, clampTime(from))
	if err != nil {
		return nil, "", err
	}
	tail, err := t.log.Tail(ctx, topic)
	if err != nil {
		t.closeFeed(topic, feed)
		return nil, "", err
	}
	return feed, tail, nil
}

// clampTime returns a time that every broker can be asked for. Times come from
// clients' cursors, too, and may be any.
func clampTime(from time.Time) time.Time {
	first, last := time.Unix(0, 0), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	switch {
	case from.Before(first):
		return first
	case from.After(last):
		return last
	}
	return from
}

// readAll gives use what the feed brings until the feed fails, ctx ends or use
// returns false (then there is no error), and closes the feed. Not every driver's
// Read watches its context, so the end of ctx closes the feed as well.
func (t *Transport) readAll(
	ctx context.Context, topic string, feed Feed, use func([]domain.Entry) (more bool),
) error {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		t.closeFeed(topic, feed)
	})
	defer func() {
		if !stop() {
			<-closed
		}
		t.closeFeed(topic, feed)
	}()
	for {
		batch, err := feed.Read(ctx)
		if len(batch) > 0 && !use(batch) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// closeFeed closes a feed. A failure is only logged: nothing can be done about it.
func (t *Transport) closeFeed(topic string, feed Feed) {
	if err := feed.Close(); err != nil {
		t.cfg.Logger.Debug("closing a feed failed", "topic", topic, "error", err)
	}
}

// errAnotherLog says that a topic's log is not the one it was.
func errAnotherLog() *GapError {
	return &GapError{Reason: domain.UnknownCursor, Detail: "the topic has become another log"}
}
