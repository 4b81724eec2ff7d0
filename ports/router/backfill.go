package router

import (
	"context"
	"errors"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A Log reads topics again: the side of a transport with a log that serves
// sessions whose cursors are older than the window.
type Log interface {
	// Replay reads the topic from the time from on, which may be zero, as well
	// as it can, and from the position after on with proven continuity, until
	// yield returns false or ctx ends; it waits at the tail. A
	// *domain.BreakError says that there is no proof. Entries name their log.
	Replay(ctx context.Context, topic string, after domain.Position, from time.Time, yield func([]domain.Entry) (more bool)) error
}

// readAgain reads of the log what the stream's sessions wait for, until ctx
// ends.
func (f *feed) readAgain(ctx context.Context, topic string) {
	if f.r.cfg.Past == nil {
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
			b, wanted := f.stream.NextBackfill()
			if !wanted {
				break
			}
			if f.backfill(ctx, topic, b) {
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

// backfill reads one Backfill; false means that the log could not be reached.
func (f *feed) backfill(ctx context.Context, topic string, b *stream.Backfill) bool {
	select {
	case f.r.reading <- struct{}{}:
		defer func() { <-f.r.reading }()
	case <-ctx.Done():
		f.stream.Abandon(b)
		return false
	}
	bounded, cancel := context.WithTimeout(ctx, f.r.cfg.ReplayTimeout)
	defer cancel()
	enough, another := false, false
	err := f.r.cfg.Past.Replay(bounded, topic, b.After.Position, b.From, func(batch []domain.Entry) bool {
		for i := range batch {
			e := &batch[i]
			if another = e.Log != b.After.Log; another {
				return false
			}
			if !b.Add(e.Position, e.Time, f.decode(e)) {
				enough = true
				return false
			}
		}
		return true
	})
	if another {
		// The same position can be a place in a log that was made anew.
		err = &domain.BreakError{Reason: domain.UnknownCursor, Detail: "the topic has become another log"}
	}
	return f.settle(ctx, bounded, b, enough, err)
}

func (f *feed) settle(ctx, bounded context.Context, b *stream.Backfill, enough bool, err error) bool {
	var broken *domain.BreakError
	log := f.r.cfg.Log.With("system", f.stream.System().String())
	switch {
	case enough:
		f.stream.Extend(b)
	case errors.As(err, &broken):
		log.Info("sessions cannot resume from the log", "reason", string(broken.Reason), "detail", broken.Detail)
		f.stream.Fail(b, broken.Reason)
	case ctx.Err() == nil && bounded.Err() != nil:
		log.Warn("reading the log again takes too long", "timeout", f.r.cfg.ReplayTimeout)
		f.stream.Fail(b, domain.TooFar)
	case ctx.Err() != nil || errors.Is(err, domain.ErrBusDown) || errors.Is(err, domain.ErrClosed):
		log.Debug("the log cannot be read again now", "error", err)
		f.stream.Abandon(b)
		return false
	default: // it never can be: the place is none
		log.Info("sessions cannot resume from the log", "error", err)
		f.stream.Fail(b, domain.UnknownCursor)
	}
	return true
}

// decode is the entry's message, nil if it is none.
func (f *feed) decode(e *domain.Entry) (m *domain.Message) {
	defer f.recover(e)
	m, err := envelope.Decode(e, f.r.cfg.Rules)
	if err != nil {
		return nil // it was counted when it came
	}
	return m
}
