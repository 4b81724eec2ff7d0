package router

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// Find returns where the messages with an id are, oldest first: what the window has, with
// the repetitions that the log has behind that; or else what the log has, of which it
// reads no more than [ReaderConfig].MaxScan entries, from the end. There is more than one
// if a message was repeated, or an id was used for several. A record that cannot be
// decoded is found if the id is written in it; its Message is nil.
//
// The result complete is false if there may be others, as not all of the log was read, or
// there is none. An id that was used again after longer than ids are remembered stands
// for another message, and the earlier one is not looked for.
//
// Find may be called with any id. It may cost much, so it is for operators.
//
// Errors: those of [stream.Hub.Acquire], and [domain.ErrBusDown] or another if the bus
// has not confirmed, or the log cannot be read.
func (r *Reader) Find(
	ctx context.Context, system domain.System, id string,
) (all []stream.Found, complete bool, err error) {
	lease, err := r.hub.Acquire(ctx, "", system)
	if err != nil {
		return nil, false, err
	}
	defer lease.Release()
	head, ok := lease.Cursor()
	if !ok {
		return nil, false, notConfirmed(system)
	}
	all = lease.FindID(id)
	if r.cfg.Rewinder == nil {
		return all, len(all) > 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.ReadTimeout)
	defer cancel()
	q := &search{r: r, ctx: ctx, stream: lease.Stream}
	leave, err := q.enter()
	if err != nil {
		return all, false, err
	}
	defer leave()
	if len(all) > 0 {
		complete, err = q.findRepetitions(id, head, &all)
	} else {
		complete, err = q.findBack(id, head, &all)
	}
	r.markDuplicates(all)
	if errors.Is(err, domain.ErrUnsupported) { // a log that cannot be counted back from its end
		return all, false, nil
	}
	return all, complete, err
}

// findRepetitions adds what repeats the messages that the window has: as long as ids are
// remembered, and no longer.
func (q *search) findRepetitions(id string, head domain.Cursor, all *[]stream.Found) (complete bool, err error) {
	first := (*all)[0].Cursor
	last := (*all)[len(*all)-1].LoggedAt.Add(q.r.cfg.DedupeAge)
	now := time.Now()
	if first.Log != head.Log {
		return false, nil // the bus was moved since
	}
	complete = true
	err = q.r.forward(q.ctx, q.topic(), first, head, func(e *domain.Entry) bool {
		if q.read++; q.read > q.r.cfg.MaxScan {
			complete = false
			return false
		}
		if f, is := q.r.found(first.Log, e, id, now); is && !has(*all, f.Cursor) {
			*all = append(*all, f)
		}
		return !e.Time.After(last)
	})
	sortFound(*all)
	if _, is := gapOf(err); is {
		return false, nil // it is trimmed up to there
	}
	return complete && err == nil, err
}

// findBack goes back in the log from the head until it has found something, and from
// there as far back as ids are remembered.
func (q *search) findBack(id string, head domain.Cursor, all *[]stream.Found) (complete bool, err error) {
	now := time.Now()
	for part := firstPart; ; part = min(4*part, longestPart) {
		if part = min(part, q.r.cfg.MaxScan-q.read); part <= 0 {
			return false, nil
		}
		var oldest time.Time
		var some []stream.Found
		at, isStart, err := q.r.walk(q.ctx, q.topic(), head, false, part,
			func(e *domain.Entry, _ domain.Position) {
				if q.read++; oldest.IsZero() {
					oldest = e.Time
				}
				if f, is := q.r.found(head.Log, e, id, now); is {
					some = append(some, f)
				}
			})
		*all = append(some, *all...)
		if _, is := gapOf(err); is {
			return false, nil // it was trimmed meanwhile
		}
		if err != nil || isStart {
			return isStart, err
		}
		if len(*all) > 0 && oldest.Before((*all)[0].LoggedAt.Add(-q.r.cfg.DedupeAge)) {
			return true, nil
		}
		head = at
	}
}

// found returns what an entry is, if it has the id.
func (r *Reader) found(log domain.LogID, e *domain.Entry, id string, now time.Time) (f stream.Found, is bool) {
	if e.Kind != domain.Record {
		return f, false
	}
	m := r.decode(e)
	if m == nil {
		if !mentions(e, id) {
			return f, false
		}
		at := domain.Cursor{Log: log, Position: clone(e.Position), Time: e.Time}
		return stream.Found{Cursor: at, LoggedAt: e.Time}, true
	}
	at := stream.PlaceOf(log, e, m, now)
	if m.ID != id {
		return f, false
	}
	return stream.Found{Cursor: at, Message: m.Clone(), LoggedAt: at.Time}, true
}

// mentions reports whether the id is written in an entry that cannot be decoded.
func mentions(e *domain.Entry, id string) bool {
	named := func(f domain.Field) bool { return f.Name == "id" && f.Value == id }
	return e.UUID == id || slices.ContainsFunc(e.Header, named) || bytes.Contains(e.Body, []byte(`"`+id+`"`))
}

// markDuplicates says which of the messages repeat one before them.
func (r *Reader) markDuplicates(all []stream.Found) {
	for i := range all {
		for j := range i {
			a, b := &all[j], &all[i]
			if a.Message == nil || b.Message == nil || !a.DuplicateOf.IsZero() {
				continue
			}
			seen := history.NewDedupe(1, r.cfg.DedupeAge)
			seen.CheckAt(a.Message, a.LoggedAt)
			if v, _ := seen.CheckAt(b.Message, b.LoggedAt); v == history.Duplicate {
				b.DuplicateOf = a.Cursor
				break
			}
		}
	}
}

func has(all []stream.Found, at domain.Cursor) bool {
	return slices.ContainsFunc(all, func(f stream.Found) bool {
		return f.Cursor.Log == at.Log && f.Cursor.Position == at.Position
	})
}

func sortFound(all []stream.Found) {
	slices.SortStableFunc(all, func(a, b stream.Found) int {
		if a.Cursor.Log != b.Cursor.Log {
			return 0
		}
		return strings.Compare(string(a.Cursor.Position), string(b.Cursor.Position))
	})
}

func locationOf(c domain.Cursor) domain.Location {
	return domain.Location{Log: c.Log, Position: c.Position}
}
