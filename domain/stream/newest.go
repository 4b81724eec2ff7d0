package stream

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/history"
)

// A Start says from where on a history has the newest messages, as far as the window
// knows.
type Start struct {
	// At is the cursor after which they come. It is zero if the stream cannot say,
	// because the bus has not confirmed or because it has not come to where the search was
	// to begin.
	At    domain.Cursor
	Count int // how many messages there are from there on; not set by NewestSince

	// Whole reports that nothing that was asked for comes before At. If it does, or may,
	// Older is where the log has to be searched backwards; it is zero if there is nothing
	// to search. Then Reason says why.
	Whole  bool
	Older  domain.Cursor
	Reason domain.GapReason
	// Before reports that the entry at Older does not count. If At is Older, then nothing
	// that was asked for is in the window.
	Before bool
	// Lookup reports that Older is in another log than the present one, and that nobody
	// knows where that is in this one.
	Lookup bool
	// End is where the search began if that was said by a cursor of another log than the
	// present one: the first entry that does not count. Else it is zero.
	End domain.Cursor
}

// Newest says after which cursor the `most` newest messages come that are for one of the
// targets, or for anybody if there are none. If before is not zero, only those count that
// come before it.
func (s *Stream) Newest(targets []domain.Target, before domain.Cursor, most int) Start {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.bus.confirmed {
		return Start{}
	}
	now, end, from := s.cfg.Now(), s.history.Next(), domain.Cursor{}
	if !before.IsZero() {
		switch answer := s.history.Find(before, s.cfg.Now); {
		case answer.Kind == history.Ahead:
			return Start{}
		case answer.Kind == history.NeedsBacklog, answer.Kind == history.NeedsLookup:
			return Start{
				At: before, Older: before, Before: true, Lookup: answer.Kind == history.NeedsLookup,
			}
		case answer.Kind == history.Gap:
			return Start{At: answer.Cursor, Reason: answer.Reason}
		default:
			end = s.entryAt(before, answer.Next)
			from = s.placeIn(before, end)
		}
	}
	first, count := s.history.Newest(targets, end, most, now)
	if count == most {
		return Start{At: s.history.Before(first).Cursor, Count: count, Whole: true, End: from}
	}
	start := s.before(first)
	start.Count, start.End = count, from
	return start
}

// NewestSince is Newest for all messages that the log took at the time t or later.
func (s *Stream) NewestSince(t time.Time) Start {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.bus.confirmed {
		return Start{}
	}
	n, at := s.history.Since(t), s.history.Start()
	if n > s.history.Floor() || n == s.history.First() && !at.Time.IsZero() && at.Time.Before(t) {
		return Start{At: s.history.Before(n).Cursor, Whole: true}
	}
	return s.before(n)
}

// entryAt returns the number of the entry that a cursor is at; if it is at none, next,
// which is the number of the entry that follows it.
func (s *Stream) entryAt(c domain.Cursor, next uint64) uint64 {
	if next <= s.history.First() {
		return next
	}
	before := s.history.Before(next)
	at, known := before.PositionIn(c.Log)
	if known && at == c.Position || c.ID != 0 && before.ID == c.ID {
		return next - 1
	}
	return next
}

// placeIn returns the cursor of entry n if that is in another log than c, which is at or
// before the entry; else zero.
func (s *Stream) placeIn(c domain.Cursor, n uint64) (at domain.Cursor) {
	if n >= s.history.Next() {
		return at
	}
	e := s.history.At(n)
	if p := e.Point(); p.Log != c.Log {
		return p.Clone().Cursor
	}
	return at
}

// before returns a Start at entry n, which is the first one that can be resumed before.
func (s *Stream) before(n uint64) Start {
	at := s.history.Before(n).Cursor
	switch {
	case n > s.history.First(): // at a gap
		gap := s.history.At(n - 1)
		return Start{At: at, Reason: gap.Reason()}
	case !s.cfg.HasLog:
		return Start{At: at, Reason: domain.Lossy}
	case s.cfg.Backlog == nil || !s.history.Continues(at.Log):
		return Start{At: at, Reason: domain.Trimmed}
	}
	return Start{At: at, Older: at}
}

// Last says which messages somebody wants to have had who comes now: the newest Count,
// or those that the log took in the time Age before. One of them is set.
type Last struct {
	Count int
	Age   time.Duration
}

// IsZero reports whether nothing is wanted.
func (l Last) IsZero() bool { return l == Last{} }
