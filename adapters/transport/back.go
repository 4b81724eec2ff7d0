package transport

import (
	"context"
	"fmt"

	"github.com/fanfarebus/fanfare/domain"
)

// Back returns the position before the n-th newest of the entries at or before upTo; without
// a position, upTo is the tail. With [Transport.Replay] or [Transport.Scan] one reads these
// entries from there. They are records: what a node adds to a topic's entries does not count.
//
// If the log holds fewer than n such entries, start is true, and the position is before the
// oldest entry that it holds.
//
// The log of upTo says which bus is meant while two are in use. Back does not check that
// the topic's log still is that one; Replay does. Cost is as [Rewinder] says: bound it with
// ctx. The error wraps
//
//   - a [*domain.GapError] if upTo is no position of the bus,
//   - [domain.ErrUnsupported] without a log, or if the driver is no Rewinder,
//   - [domain.ErrInvalid] if n is less than 1,
//   - [domain.ErrBusDown] when the broker cannot be reached,
//   - [domain.ErrClosed] when the Transport is closed,
//   - or the context's error.
func (t *Transport) Back(
	ctx context.Context, topic string, upTo domain.Location, n int,
) (at domain.Position, start bool, err error) {
	if at, start, err = t.back(ctx, topic, upTo.Position, n); err != nil {
		return "", false, fmt.Errorf("transport: back in %q: %w", topic, err)
	}
	return at, start, nil
}

func (t *Transport) back(
	ctx context.Context, topic string, upTo domain.Position, n int,
) (at domain.Position, start bool, err error) {
	driver, ok := t.driver.(Rewinder)
	switch {
	case t.log == nil || !ok:
		return "", false, domain.ErrUnsupported
	case n < 1:
		return "", false, fmt.Errorf("%w: %d entries back", domain.ErrInvalid, n)
	}
	if err := t.CheckTopic(topic); err != nil {
		return "", false, err
	}
	if err := t.enter(); err != nil {
		return "", false, err
	}
	defer t.running.Done()
	ctx, cancel := t.bound(ctx)
	defer cancel()
	if at, start, err = driver.Back(ctx, topic, upTo, n); err != nil {
		return "", false, t.readError(ctx, err)
	}
	return at, start, nil
}
