package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/envelope"
	"github.com/fanfarebus/fanfare/domain/stream"
)

// A search goes back in a log, part by part: first a short one, then longer ones.
// [Rewinder].Back says where a part begins, and it is read forward from there.
type search struct {
	r       *Reader
	ctx     context.Context
	stream  *stream.Stream
	asker   stream.Asker
	targets []domain.Target // whom messages are for; none: anybody
	want    int             // how many messages are wanted
	since   time.Time       // if set: all from then on are wanted, and want means nothing

	read   int             // entries that were read
	seen   map[uint64]bool // ids of the messages that were counted
	found  int             // how many there are
	oldest domain.Cursor   // of the entries that were read, the oldest one
}

// The parts in which a log is searched.
const (
	firstPart   = 512
	longestPart = 1 << 16
)

// A match is a record that a search wants.
type match struct {
	id     uint64          // the hash of its message's id
	before domain.Position // it follows that
	time   time.Time
}

// run searches the log from start.Older on, when it is its turn. An error is one of
// reading the log, or the end of the context before anything was searched.
func (q *search) run(start stream.Start) (stream.Start, error) {
	if q.r.cfg.Rewinder == nil {
		return stream.Start{At: start.At, Reason: domain.Trimmed}, nil
	}
	leave, err := q.enter()
	if err != nil {
		return start, err
	}
	defer leave()
	found, err := q.find(start)
	if errors.Is(err, domain.ErrUnsupported) { // a log that cannot be counted back from its end
		return stream.Start{At: start.At, Reason: domain.TooFar}, nil
	}
	return found, err
}

func (q *search) find(start stream.Start) (stream.Start, error) {
	if !q.since.IsZero() {
		return q.runSince(start)
	}
	return q.runBack(start)
}

// enter waits until the search may begin. It lasts until leave is called, which charges
// the asker for it.
func (q *search) enter() (leave func(), err error) {
	select {
	case q.r.searching <- struct{}{}:
	default:
		return nil, fmt.Errorf("%w: too many searches wait", domain.ErrLimit)
	}
	done, ok := q.r.router.reading.take(q.ctx, q, nil)
	if !ok {
		<-q.r.searching
		return nil, q.ctx.Err()
	}
	return func() {
		q.stream.Reads().Charge(q.asker, q.read+q.r.cfg.MaxScan/1000)
		done()
		<-q.r.searching
	}, nil
}

// NextReader is part of the reader that waits for its turn.
func (q *search) NextReader(barred func(user string) bool) (stream.Asker, float64, bool) {
	return q.asker, q.stream.Reads().Weight(q.asker), !barred(q.asker.User)
}

func (q *search) topic() string { return q.r.router.topics.Topic(q.stream.System()) }

// runBack looks for as many messages as are wanted.
func (q *search) runBack(start stream.Start) (stream.Start, error) {
	end, before := start.Older, start.Before
	for part := firstPart; ; part = min(4*part, longestPart) {
		part = min(part, q.r.cfg.MaxScan-q.read)
		if part <= 0 {
			return stream.Start{At: end, Reason: domain.TooFar}, nil
		}
		matches, at, isStart, err := q.part(end, before, part)
		if reason, is := gapOf(err); is {
			return stream.Start{At: end, Reason: reason}, nil
		}
		if err != nil && q.ctx.Err() != nil && q.read > 0 {
			return stream.Start{At: end, Reason: domain.TooFar}, nil
		}
		if err != nil {
			return start, err
		}
		if m, enough := q.count(matches); enough {
			at := domain.Cursor{Log: end.Log, Position: m.before, Time: m.time}
			return stream.Start{At: at, Count: q.found, Whole: true}, nil
		}
		end, before = at, false
		if isStart {
			return stream.Start{At: end, Count: q.found, Reason: trimmed(end)}, nil
		}
	}
}

// count counts matches from the newest to the oldest. It returns the one with which
// there are enough.
func (q *search) count(matches []match) (m match, enough bool) {
	if q.seen == nil {
		q.seen = make(map[uint64]bool)
	}
	for _, m := range slices.Backward(matches) {
		if q.seen[m.id] {
			continue
		}
		q.seen[m.id] = true
		if q.found++; q.found == q.want {
			return m, true
		}
	}
	return m, false
}

// part reads the n entries at or before end, without that at end if before is set. It
// returns what it has found, and the cursor that the first of these entries follows.
func (q *search) part(
	end domain.Cursor, before bool, n int,
) (matches []match, at domain.Cursor, isStart bool, err error) {
	now := time.Now()
	oldest := domain.Cursor{}
	topic := q.topic()
	at, isStart, err = q.r.walk(q.ctx, topic, end, before, n, func(e *domain.Entry, follows domain.Position) {
		q.read++
		if oldest.IsZero() {
			oldest = domain.Cursor{Log: end.Log, Position: clone(e.Position), Time: e.Time}
		}
		m := q.r.decode(e)
		if m == nil || !q.isWanted(m) || m.Expired(e.Time, now) {
			return
		}
		place := stream.PlaceOf(end.Log, e, m, now)
		matches = append(matches, match{place.ID, clone(follows), place.Time})
	})
	if !oldest.IsZero() && err == nil {
		q.oldest = oldest
		at.Time = oldest.Time
	}
	return matches, at, isStart, err
}

func clone(p domain.Position) domain.Position { return domain.Position(strings.Clone(string(p))) }

func (q *search) isWanted(m *domain.Message) bool {
	return len(q.targets) == 0 ||
		slices.ContainsFunc(m.To, func(t domain.Target) bool { return slices.Contains(q.targets, t) })
}

// runSince looks for the place that everything from a time on follows.
func (q *search) runSince(start stream.Start) (stream.Start, error) {
	newest := time.Time{}
	_, isStart, err := q.r.walk(q.ctx, q.topic(), start.Older, false, 1, func(e *domain.Entry, _ domain.Position) {
		q.read++
		newest = e.Time
	})
	if err == nil && !isStart && newest.Before(q.since) {
		return stream.Start{At: start.At, Whole: true}, nil
	}
	at, isStart := start.At, true
	if err == nil {
		at, isStart, err = q.r.from(q.ctx, q.topic(), start.Older, q.since)
	}
	switch reason, is := gapOf(err); {
	case is:
		return stream.Start{At: start.At, Reason: reason}, nil
	case err != nil:
		return start, err
	case isStart:
		return stream.Start{At: at, Reason: trimmed(at)}, nil
	}
	return stream.Start{At: at, Whole: true}, nil
}

// trimmed returns the reason why nothing comes before the place where a log begins; "" if
// nothing ever did: then each byte of its position is 0.
func trimmed(at domain.Cursor) domain.GapReason {
	if strings.Trim(string(at.Position), "\x00") == "" {
		return ""
	}
	return domain.Trimmed
}

// from returns the cursor that the first entry follows which the log took at the time t
// or later, and whether the log holds none before it. An entry at or before end must be
// that late; if there is none at all, from returns end and true.
func (r *Reader) from(
	ctx context.Context, topic string, end domain.Cursor, t time.Time,
) (at domain.Cursor, isStart bool, err error) {
	first := locationOf(end)
	if _, none, err := r.cfg.Rewinder.Back(ctx, topic, first, 1); err != nil || none {
		return end, none, err
	}
	err = r.router.cfg.Replayer.Replay(ctx, topic, first, t, func(batch []domain.Entry) bool {
		first.Position = min(first.Position, batch[0].Position)
		return false
	})
	if err != nil {
		return end, false, err
	}
	p, _, err := r.cfg.Rewinder.Back(ctx, topic, first, 1)
	if err == nil {
		_, isStart, err = r.cfg.Rewinder.Back(ctx, topic, first, 2)
	}
	return domain.Cursor{Log: end.Log, Position: p, Time: t}, isStart, err
}

// walk gives use the n entries at or before end, without that at end if before is set,
// from the oldest to the newest, each with the position that it follows. It returns the
// cursor that the first one follows, and whether the log holds none before it. The
// entries are good during the call only.
func (r *Reader) walk(
	ctx context.Context, topic string, end domain.Cursor, before bool, n int,
	use func(e *domain.Entry, follows domain.Position),
) (at domain.Cursor, isStart bool, err error) {
	if before {
		n++ // at most one of them does not count
	}
	p, isStart, err := r.cfg.Rewinder.Back(ctx, topic, locationOf(end), n)
	if err != nil {
		return end, false, err
	}
	at = domain.Cursor{Log: end.Log, Position: p}
	follows := p
	err = r.forward(ctx, topic, at, end, func(e *domain.Entry) bool {
		if before && e.Position == end.Position {
			return false
		}
		use(e, follows)
		follows = e.Position
		return true
	})
	return at, isStart, err
}

// forward gives use the entries that follow after, up to end, until it returns false.
func (r *Reader) forward(
	ctx context.Context, topic string, after, end domain.Cursor, use func(*domain.Entry) bool,
) error {
	// Replay waits at the tail for what comes, so the last entry has to be known.
	last, none, err := r.cfg.Rewinder.Back(ctx, topic, locationOf(end), 1)
	if err != nil || none || after.Position > last {
		return err
	}
	var lost error
	err = r.router.cfg.Replayer.Replay(ctx, topic, locationOf(after), time.Time{}, func(batch []domain.Entry) bool {
		batch, lost = upToGap(batch)
		for i := range batch {
			if e := &batch[i]; e.Position > end.Position || !use(e) || e.Position > last {
				return false
			}
		}
		return lost == nil
	})
	if lost != nil {
		return lost
	}
	return err
}

// decode returns an entry's message, nil if it is none.
func (r *Reader) decode(e *domain.Entry) (m *domain.Message) {
	if e.Kind != domain.Record {
		return nil
	}
	defer func() {
		if recover() != nil {
			m = nil // it was counted and logged when it came first
		}
	}()
	m, err := envelope.Decode(e, r.router.cfg.Rules)
	if err != nil {
		return nil
	}
	return m
}
