package router

import (
	"context"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// Page reads a part of a system's history, on behalf of the asker: with part.After, what
// follows that, and otherwise the newest messages before part.Before, or the newest ones.
// See [stream.Excerpt] for what it returns.
//
// Errors: those of [stream.Hub.Acquire]; [ErrReads] if the asker has too much read, and
// another [domain.ErrLimit] if all askers together have; [domain.ErrBusDown] if the bus
// has not confirmed, if this node has not come to the cursor yet, or if the log cannot be
// read; and the context's.
func (r *Reader) Page(
	ctx context.Context, system domain.System, asker stream.Asker, part stream.Part,
) (stream.Excerpt, error) {
	lease, err := r.hub.Acquire(ctx, asker.User, system)
	if err != nil {
		return stream.Excerpt{}, err
	}
	defer lease.Release()
	if err := r.enter(asker); err != nil {
		return stream.Excerpt{}, err
	}
	defer r.leave(asker)
	if lease.Reads().Over(asker) {
		return stream.Excerpt{}, ErrReads
	}
	if _, ok := lease.Cursor(); !ok {
		return stream.Excerpt{}, notConfirmed(system)
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.ReadTimeout)
	defer cancel()
	if part.After.IsZero() {
		return r.readBack(ctx, lease.Stream, asker, part)
	}
	return r.readOn(ctx, lease.Stream, asker, part)
}

// readOn reads on from a cursor.
func (r *Reader) readOn(
	ctx context.Context, s *stream.Stream, asker stream.Asker, part stream.Part,
) (stream.Excerpt, error) {
	page := read(ctx, s, asker, part)
	if page.Gap == domain.Trimmed && r.cfg.Rewinder != nil {
		// A session goes on with the window. The log may still have more than that.
		if at, ok := r.oldest(ctx, s, part.After); ok {
			part.After = at
			page = read(ctx, s, asker, part)
			page.Gap = domain.Trimmed
		}
	}
	x := stream.Excerpt{Messages: page.Messages, Reason: page.Gap}
	switch {
	case page.Whole:
	case page.More:
		x.Next = page.Reached
	case page.Reached == part.After:
		return x, fmt.Errorf("system %s: nothing was read in time: %w", s.System(), domain.ErrBusDown)
	default:
		x.Next, x.Reason = page.Reached, reasonOr(x.Reason, domain.TooFar)
	}
	return x, nil
}

// oldest returns where the log begins, if a cursor is before that.
func (r *Reader) oldest(ctx context.Context, s *stream.Stream, before domain.Cursor) (domain.Cursor, bool) {
	window := s.WindowStart()
	if window.Log != before.Log {
		return domain.Cursor{}, false
	}
	at, _, err := r.from(ctx, r.router.topics.Topic(s.System()), window, time.Unix(0, 0))
	return at, err == nil && at.Position > before.Position && at.Position < window.Position
}

// readBack reads the newest messages before part.Before.
func (r *Reader) readBack(
	ctx context.Context, s *stream.Stream, asker stream.Asker, part stream.Part,
) (stream.Excerpt, error) {
	start, next, err := r.begin(ctx, s, asker, &part)
	switch {
	case err != nil:
		return stream.Excerpt{}, err
	case start.Count == 0:
		return stream.Excerpt{Next: next, Reason: start.Reason}, nil
	}
	part.After, part.Newest = start.At, true
	page := read(ctx, s, asker, part)
	x := stream.Excerpt{Messages: page.Messages, Next: next, Reason: start.Reason}
	if page.Gap != "" {
		x.Reason = page.Gap
	}
	if len(page.Cursors) > 0 && (start.Whole || page.Dropped) {
		x.Next = page.Cursors[0]
	}
	switch {
	case page.Whole:
	case page.Reached == part.After:
		return x, fmt.Errorf("system %s: nothing was read in time: %w", s.System(), domain.ErrBusDown)
	default: // the newest ones are missing
		x.Reason = reasonOr(x.Reason, domain.TooFar)
	}
	return x, nil
}

// begin returns where the newest messages of a part begin. If the log was not searched
// far enough, next is where to go on.
func (r *Reader) begin(
	ctx context.Context, s *stream.Stream, asker stream.Asker, part *stream.Part,
) (start stream.Start, next domain.Cursor, err error) {
	start = s.Newest(part.Targets, part.Before, part.Most)
	if !start.End.IsZero() {
		part.Before = start.End
	}
	switch {
	case start.At.IsZero():
		return start, next, fmt.Errorf("system %s: this node has not come to that cursor yet: %w",
			s.System(), domain.ErrBusDown)
	case start.Lookup:
		if start, err = r.locate(ctx, s, asker, part); err != nil || start.Older.IsZero() {
			return start, next, err
		}
	}
	if start.Whole || start.Older.IsZero() {
		return start, next, nil
	}
	q := &search{
		r: r, ctx: ctx, stream: s, asker: asker, targets: part.Targets, want: part.Most - start.Count,
	}
	older, err := q.run(start)
	if err != nil {
		return older, next, readError(s.System(), err)
	}
	older.Count = start.Count + q.found
	if older.Reason == domain.TooFar {
		next = q.oldest
	}
	return older, next, nil
}

// locate looks up where a cursor of another log is in the present one, when it is its turn.
func (r *Reader) locate(
	ctx context.Context, s *stream.Stream, asker stream.Asker, part *stream.Part,
) (stream.Start, error) {
	unknown := stream.Start{At: part.Before, Reason: domain.UnknownCursor}
	if r.router.cfg.Replayer == nil {
		return unknown, nil
	}
	q := &search{r: r, ctx: ctx, stream: s, asker: asker}
	leave, err := q.enter()
	if err != nil {
		return unknown, readError(s.System(), err)
	}
	defer leave()
	wanted := []domain.Location{{Log: part.Before.Log, Position: part.Before.Position}}
	topic := r.router.topics.Topic(s.System())
	var found []domain.Location
	found, q.read, err = r.router.cfg.Replayer.Locate(
		ctx, topic, wanted, part.Before.Time.Add(-time.Minute), r.cfg.MaxScan)
	switch {
	case err != nil:
		return unknown, readError(s.System(), err)
	case found[0].Log == 0:
		return unknown, nil
	}
	part.Before.Log, part.Before.Position = found[0].Log, found[0].Position
	return stream.Start{At: part.Before, Older: part.Before, Before: true}, nil
}

// read reads a page, until it is done or the context ends.
func read(ctx context.Context, s *stream.Stream, asker stream.Asker, part stream.Part) stream.PageResult {
	page := s.OpenPage(asker, part)
	select {
	case <-page.Done():
	case <-ctx.Done():
	}
	return page.Close()
}

func reasonOr(reason, otherwise domain.GapReason) domain.GapReason {
	if reason == "" {
		return otherwise
	}
	return reason
}

// readError returns the error of reading a log as one of the domain.
func readError(system domain.System, err error) error {
	if _, is := gapOf(err); is {
		return fmt.Errorf("system %s: the log changed while it was read: %w", system, domain.ErrBusDown)
	}
	return fmt.Errorf("system %s: the log cannot be read now: %w", system, err)
}
