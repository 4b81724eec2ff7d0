package router

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A Replayer reads topics again: the side of a transport with a log that serves
// sessions whose cursors are older than the window.
type Replayer interface {
	// Replay reads the topic from the time from on, which may be zero, as well
	// as it can, and from the position after on with proven continuity, until
	// yield returns false or ctx ends; it waits at the tail. A
	// *domain.GapError says that there is no proof, or that the topic has become
	// another log than the place's.
	Replay(ctx context.Context, topic string, after domain.Location, from time.Time, yield func([]domain.Entry) (more bool)) error

	// Locate looks for places of other logs among the copies that the topic's log
	// holds from the time from on, at most entries of it. Wanted is in the order of
	// logs and positions. It returns where each is, zero where that is not proven,
	// and how many entries it has looked at: fewer than most if the log has no more,
	// or all places were settled.
	Locate(ctx context.Context, topic string, wanted []domain.Location, from time.Time, most int) (found []domain.Location, looked int, err error)

	// Origins returns the logs of which the topic's log holds copies from which
	// sessions can resume, as far as its oldest entries say, most of them, and how
	// many entries it has looked at. With an error it returns what it has come to.
	Origins(ctx context.Context, topic string, most int) (logs []domain.LogID, looked int, err error)
}

// readAgain reads of the log what the stream's sessions wait for, until ctx
// ends.
func (f *feed) readAgain(ctx context.Context, topic string) {
	if f.r.cfg.Replayer == nil {
		return
	}
	pause := f.r.cfg.RetryMin
	for {
		select {
		case <-f.stream.Wake():
		case <-ctx.Done():
			return
		}
		for {
			did, ok := f.readNext(ctx, topic)
			if !did {
				break
			}
			if ok {
				pause = f.r.cfg.RetryMin
				continue
			}
			sleep(ctx, pause)
			pause = min(2*pause, f.r.cfg.RetryMax)
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// readNext does one thing that the stream wants read, if there is any, when it
// is its turn; not ok means that the log could not be reached. What is to be read
// is chosen only then: others may have come who go first. Lookups and Backfills
// alternate, so that neither keep the others waiting.
func (f *feed) readNext(ctx context.Context, topic string) (did, ok bool) {
	if _, _, wanted := f.stream.NextReader(noUser); !wanted {
		return false, false
	}
	done, ok := f.r.reading.take(ctx, f.stream, f.stream.Wake())
	if !ok {
		return true, false
	}
	defer done()
	f.backfills = !f.backfills
	for range 2 {
		if f.backfills {
			if b, wanted := f.stream.NextBackfill(); wanted {
				return true, f.backfill(ctx, topic, b)
			}
		} else if l, wanted := f.stream.NextLookup(); wanted {
			return true, f.lookUp(ctx, topic, l)
		}
		f.backfills = !f.backfills
	}
	return false, false
}

func noUser(string) bool { return false }

// lookUp looks for places of logs that were there before the bus was moved.
func (f *feed) lookUp(ctx context.Context, topic string, l *stream.Lookup) bool {
	bounded, cancel := context.WithTimeout(ctx, f.r.cfg.ReplayTimeout)
	defer cancel()
	if l.Survey {
		origins, looked, err := f.r.cfg.Replayer.Origins(bounded, topic, l.Most)
		if f.unreached(ctx, bounded, l, err) {
			return false
		}
		f.stream.Surveyed(l, origins, err == nil || looked > 0) // copies come first
		return true
	}
	places, looked, err := f.r.cfg.Replayer.Locate(bounded, topic, wanted(l), l.From(), l.Most)
	if f.unreached(ctx, bounded, l, err) {
		return false
	}
	f.stream.Found(l, found(l, places), looked)
	return true
}

// unreached says whether the log could not be reached for a Lookup, which has
// ended then. Any other error is logged: nothing is found.
func (f *feed) unreached(ctx, bounded context.Context, l *stream.Lookup, err error) bool {
	if err == nil {
		return false
	}
	log := f.r.cfg.Logger.With("system", f.stream.System().String())
	if ctx.Err() != nil || bounded.Err() == nil && errors.Is(err, domain.ErrBusDown) {
		log.Debug("places before the move cannot be looked up now", "error", err)
		f.stream.Found(l, nil, 0)
		return true
	}
	f.refusals.log(log, slog.LevelInfo, "places before the move cannot be looked up", "error", err)
	return false
}

func wanted(l *stream.Lookup) []domain.Location {
	all := make([]domain.Location, len(l.Wanted))
	for i, c := range l.Wanted {
		all[i] = domain.Location{Log: c.Log, Position: c.Position}
	}
	return all
}

// found are the cursors of the places that were found for those wanted, of none
// if there are no places.
func found(l *stream.Lookup, places []domain.Location) []domain.Cursor {
	all := make([]domain.Cursor, len(l.Wanted))
	for i, p := range places {
		if p.Log != 0 {
			all[i] = domain.Cursor{Log: p.Log, Position: p.Position, Time: l.Wanted[i].Time, ID: l.Wanted[i].ID}
		}
	}
	return all
}

// backfill reads one Backfill; false means that the log could not be reached.
func (f *feed) backfill(ctx context.Context, topic string, b *stream.Backfill) bool {
	bounded, cancel := context.WithTimeout(ctx, f.r.cfg.ReplayTimeout)
	defer cancel()
	enough, lost := false, error(nil)
	err := f.r.cfg.Replayer.Replay(bounded, topic, domain.Location{Log: b.After.Log, Position: b.After.Position}, b.From, func(batch []domain.Entry) bool {
		for i := range batch {
			e := &batch[i]
			if e.Kind == domain.Gap {
				lost = &domain.GapError{Reason: e.Reason, Detail: "something was not copied when the bus was moved"}
				return false
			}
			if !b.Add(e, f.decode(e)) {
				enough = true
				return false
			}
		}
		return true
	})
	return f.settle(ctx, bounded, b, enough, errors.Join(err, lost))
}

func (f *feed) settle(ctx, bounded context.Context, b *stream.Backfill, enough bool, err error) bool {
	var broken *domain.GapError
	log := f.r.cfg.Logger.With("system", f.stream.System().String())
	switch {
	case enough:
		f.stream.Extend(b)
	case errors.As(err, &broken):
		f.refusals.log(log, slog.LevelInfo, "sessions cannot resume from the log", "reason", string(broken.Reason), "detail", broken.Detail)
		f.stream.Fail(b, broken.Reason)
	case ctx.Err() == nil && bounded.Err() != nil:
		f.refusals.log(log, slog.LevelWarn, "reading the log again takes too long", "timeout", f.r.cfg.ReplayTimeout)
		f.stream.Fail(b, domain.TooFar)
	case ctx.Err() != nil || errors.Is(err, domain.ErrBusDown) || errors.Is(err, domain.ErrClosed):
		log.Debug("the log cannot be read again now", "error", err)
		f.stream.Abandon(b)
		return false
	default: // it never can be: the place is none
		f.refusals.log(log, slog.LevelInfo, "sessions cannot resume from the log", "error", err)
		f.stream.Fail(b, domain.UnknownCursor)
	}
	return true
}

// decode is the entry's message, nil if it is none.
func (f *feed) decode(e *domain.Entry) (m *domain.Message) {
	if e.Kind != domain.Record {
		return nil
	}
	defer f.recover(e)
	m, err := envelope.Decode(e, f.r.cfg.Rules)
	if err != nil {
		return nil // it was counted when it came
	}
	return m
}
