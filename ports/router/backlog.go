package router

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// A Replayer reads a topic's log again, for sessions whose cursors are older
// than the window. It is the side of a transport with a log that a [Router]
// uses. It is safe for concurrent use.
type Replayer interface {
	// Replay reads the topic from the time from on, if it is not zero, as well
	// as it can, and from the location after on with proven continuity, until
	// yield returns false or ctx ends. It waits at the tail. A
	// *domain.GapError says that continuity is not proven, or that the topic's
	// log is another one than the location's.
	Replay(
		ctx context.Context, topic string, after domain.Location, from time.Time,
		yield func([]domain.Entry) (more bool),
	) error

	// Locate looks for locations in other logs among the copies that the
	// topic's log holds from the time from on, and looks at no more entries
	// than most. Wanted is in the order of logs and positions. It returns
	// where each one is in the topic's log, zero where that is not proven, and
	// how many entries it has looked at: fewer than most if the log has no
	// more, or all locations were settled.
	Locate(
		ctx context.Context, topic string, wanted []domain.Location, from time.Time, most int,
	) (found []domain.Location, looked int, err error)

	// Origins returns the logs of which the topic's log holds copies that
	// sessions can resume from, as far as its oldest entries say, and how many
	// entries it has looked at, at most most. With an error it returns what it
	// has found until then.
	Origins(ctx context.Context, topic string, most int) (logs []domain.LogID, looked int, err error)
}

// readBacklog reads from the log what the stream's sessions wait for, until
// ctx ends.
func (sub *subscription) readBacklog(ctx context.Context, topic string) {
	if sub.r.cfg.Replayer == nil {
		return
	}
	backoff := pause.Backoff{Min: sub.r.cfg.RetryMin, Max: sub.r.cfg.RetryMax}
	for {
		select {
		case <-sub.stream.Wake():
		case <-ctx.Done():
			return
		}
		for {
			did, ok := sub.readNext(ctx, topic)
			if !did {
				break
			}
			if ok {
				backoff.Reset()
				continue
			}
			if !backoff.Wait(ctx) {
				return
			}
		}
	}
}

// readNext does one thing that the stream wants to have read, if there is any,
// when it is its turn. Not ok means that the log could not be reached. What is
// read is chosen only when the turn has come, as sessions that go first may
// have come meanwhile. Lookups and backfills alternate, so that neither keep
// the others waiting.
func (sub *subscription) readNext(ctx context.Context, topic string) (did, ok bool) {
	if _, _, wanted := sub.stream.NextReader(noUser); !wanted {
		return false, false
	}
	done, ok := sub.r.reading.take(ctx, sub.stream, sub.stream.Wake())
	if !ok {
		return true, false
	}
	defer done()
	sub.backfillNext = !sub.backfillNext
	for range 2 {
		if sub.backfillNext {
			if b, wanted := sub.stream.NextBackfill(); wanted {
				return true, sub.backfill(ctx, topic, b)
			}
		} else if l, wanted := sub.stream.NextLookup(); wanted {
			return true, sub.lookUp(ctx, topic, l)
		}
		sub.backfillNext = !sub.backfillNext
	}
	return false, false
}

func noUser(string) bool { return false }

// lookUp looks for locations in logs that were there before the bus was moved.
// It returns false if the log could not be reached.
func (sub *subscription) lookUp(ctx context.Context, topic string, l *stream.Lookup) bool {
	bounded, cancel := context.WithTimeout(ctx, sub.r.cfg.ReplayTimeout)
	defer cancel()
	if l.Survey {
		origins, looked, err := sub.r.cfg.Replayer.Origins(bounded, topic, l.Most)
		if sub.isUnreachable(ctx, bounded, l, err) {
			return false
		}
		sub.stream.Surveyed(l, origins, err == nil || looked > 0) // copies come first in a log
		return true
	}
	locations, looked, err := sub.r.cfg.Replayer.Locate(bounded, topic, wanted(l), l.From(), l.Most)
	if sub.isUnreachable(ctx, bounded, l, err) {
		return false
	}
	sub.stream.Found(l, found(l, locations), looked)
	return true
}

// isUnreachable reports whether the log could not be reached for a Lookup, and
// ends the Lookup then. Any other error is logged: nothing is found.
func (sub *subscription) isUnreachable(ctx, bounded context.Context, l *stream.Lookup, err error) bool {
	if err == nil {
		return false
	}
	log := sub.r.cfg.Logger.With("system", sub.stream.System().String())
	if ctx.Err() != nil || bounded.Err() == nil && errors.Is(err, domain.ErrBusDown) {
		log.Debug("positions from before the move cannot be looked up now", "error", err)
		sub.stream.Found(l, nil, 0)
		return true
	}
	sub.failures.log(log, slog.LevelInfo, "positions from before the move cannot be looked up", "error", err)
	return false
}

func wanted(l *stream.Lookup) []domain.Location {
	all := make([]domain.Location, len(l.Wanted))
	for i, c := range l.Wanted {
		all[i] = domain.Location{Log: c.Log, Position: c.Position}
	}
	return all
}

// found returns the cursors of the locations that were found for those wanted;
// zero ones where there is no location.
func found(l *stream.Lookup, locations []domain.Location) []domain.Cursor {
	all := make([]domain.Cursor, len(l.Wanted))
	for i, at := range locations {
		if at.Log != 0 {
			all[i] = domain.Cursor{Log: at.Log, Position: at.Position, Time: l.Wanted[i].Time, ID: l.Wanted[i].ID}
		}
	}
	return all
}

// backfill reads for one turn of a Backfill. It returns false if the log could
// not be reached.
func (sub *subscription) backfill(ctx context.Context, topic string, b *stream.Backfill) bool {
	bounded, cancel := context.WithTimeout(ctx, sub.r.cfg.ReplayTimeout)
	defer cancel()
	enough, lost := false, error(nil)
	var messages []*domain.Message
	after := domain.Location{Log: b.After.Log, Position: b.After.Position}
	err := sub.r.cfg.Replayer.Replay(bounded, topic, after, b.From, func(batch []domain.Entry) bool {
		batch, lost = upToGap(batch)
		messages = messages[:0]
		for i := range batch {
			messages = append(messages, sub.decode(&batch[i]))
		}
		enough = !b.Add(batch, messages)
		return !enough && lost == nil
	})
	return sub.settle(ctx, bounded, b, enough, errors.Join(err, lost))
}

// upToGap returns the entries before the first gap, and the error that it is.
func upToGap(batch []domain.Entry) ([]domain.Entry, error) {
	i := slices.IndexFunc(batch, func(e domain.Entry) bool { return e.Kind == domain.Gap })
	if i < 0 {
		return batch, nil
	}
	const detail = "something was not copied when the bus was moved"
	return batch[:i], &domain.GapError{Reason: batch[i].Reason, Detail: detail}
}

// settle ends a Backfill's turn as its reading ended. It returns false if the log
// could not be reached.
func (sub *subscription) settle(ctx, bounded context.Context, b *stream.Backfill, enough bool, err error) bool {
	var gap *domain.GapError
	log := sub.r.cfg.Logger.With("system", sub.stream.System().String())
	switch {
	case enough:
		sub.stream.EndTurn(b)
	case errors.As(err, &gap):
		sub.failures.log(log, slog.LevelInfo, "sessions cannot resume from the log",
			"reason", string(gap.Reason), "detail", gap.Detail)
		sub.stream.Fail(b, gap.Reason)
	case ctx.Err() == nil && bounded.Err() != nil:
		if !sub.stream.EndTurn(b) {
			sub.failures.log(log, slog.LevelWarn, "reading the log again takes too long",
				"timeout", sub.r.cfg.ReplayTimeout)
		}
	case ctx.Err() != nil || errors.Is(err, domain.ErrBusDown) || errors.Is(err, domain.ErrClosed):
		log.Debug("the log cannot be read again now", "error", err)
		sub.stream.Abandon(b)
		return false
	default: // it never can be: there is no such position
		sub.failures.log(log, slog.LevelInfo, "sessions cannot resume from the log", "error", err)
		sub.stream.Fail(b, domain.UnknownCursor)
	}
	return true
}

// decode returns the entry's message, nil if it is none.
func (sub *subscription) decode(e *domain.Entry) (m *domain.Message) {
	if e.Kind != domain.Record {
		return nil
	}
	defer sub.recover(e)
	m, err := envelope.Decode(e, sub.r.cfg.Rules)
	if err != nil {
		return nil // it was counted and logged when it came first
	}
	return m
}
