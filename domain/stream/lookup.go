package stream

import (
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Lookup asks where positions of other logs are in the present one; or, with
// Survey, of which logs the present one holds copies at all. It ends with
// [Stream.Found] or [Stream.Surveyed]. It is not safe for concurrent use.
type Lookup struct {
	Survey bool
	Wanted []domain.Cursor // each once, in the order of logs and positions
	Most   int             // most entries to look at

	log     domain.LogID // the present one
	lead    *Attachment  // whose turn it is
	waiting []*Attachment
}

// maxClockSkew is by how much the clocks of two logs may differ.
const maxClockSkew = time.Minute

// From returns the time from which the log is to be looked at; zero means from
// its beginning.
func (l *Lookup) From() time.Time {
	if l.Survey {
		return time.Time{}
	}
	return lookFrom(l.lead.since.Time, maxClockSkew)
}

// Asker returns for whom it is done.
func (l *Lookup) Asker() Asker { return l.lead.asker }

// lookFrom returns the time that is back before t, which a client has told;
// zero, from the beginning, if no log can have that time.
func lookFrom(t time.Time, back time.Duration) time.Time {
	if t.IsZero() || t.Unix() < int64(back/time.Second) || t.Year() > 9998 {
		return time.Time{}
	}
	return t.Add(-back)
}

// NextLookup returns what is to be looked up, if anything. There is one Lookup
// at a time. [Stream.Wake] says when to ask.
//
// It is done for the session whose turn it is. Others share it if their
// positions are where it looks.
func (s *Stream) NextLookup() (*Lookup, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backlog.looking || !s.bus.confirmed || len(s.backlog.unlocated) == 0 {
		return nil, false
	}
	s.backlog.looking = true
	lead, _ := s.cfg.Reads.lightest(s.backlog.unlocated, nobody)
	l := &Lookup{Most: s.cfg.MaxScan, log: s.history.Head().Log, lead: lead}
	if s.history.NeedsSurvey(l.lead.since.Log) {
		l.Survey = true
		return l, true
	}
	from := l.From()
	var later []*Attachment
	for _, a := range s.backlog.unlocated {
		if !s.history.IsOrigin(a.since.Log) || lookFrom(a.since.Time, maxClockSkew).Before(from) {
			later = append(later, a)
			continue
		}
		l.waiting = append(l.waiting, a)
		l.Wanted = append(l.Wanted, a.since)
	}
	s.backlog.unlocated = later
	slices.SortFunc(l.Wanted, compareCursors)
	l.Wanted = slices.CompactFunc(l.Wanted, func(a, b domain.Cursor) bool { return compareCursors(a, b) == 0 })
	return l, true
}

func compareCursors(a, b domain.Cursor) int {
	switch {
	case a.Log < b.Log:
		return -1
	case a.Log > b.Log:
		return 1
	}
	if c := strings.Compare(string(a.Position), string(b.Position)); c != 0 {
		return c
	}
	return strings.Compare(a.String(), b.String())
}

// Surveyed ends a Lookup with Survey: logs are those of which the present log
// holds copies, as far as it was looked at. Sessions with cursors of other logs
// are told a gap. If complete, so are sessions that come from there later.
func (s *Stream) Surveyed(l *Lookup, logs []domain.LogID, complete bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backlog.looking = false
	if l.log != s.history.Head().Log {
		s.backlog.poke()
		return
	}
	s.history.Survey(logs, complete)
	lost := s.backlog.unlocated
	s.backlog.unlocated = nil
	for _, a := range lost {
		if s.history.IsOrigin(a.since.Log) {
			s.backlog.unlocated = append(s.backlog.unlocated, a)
			continue
		}
		a.arrive(domain.Cursor{})
	}
	s.backlog.pokeIf(len(s.backlog.unlocated) > 0)
}

// Found ends a Lookup: found are the cursors in the present log, in the order
// of Wanted, zero where there is none; looked is how many entries were looked
// at. The sessions that waited continue there, or are told a gap; but those
// whose positions may be further on get their own turn. The slice is nil if the log
// could not be reached, to survey it or to look something up: then the sessions
// keep waiting, and NextLookup is to be called again.
func (s *Stream) Found(l *Lookup, found []domain.Cursor, looked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backlog.looking = false
	now := s.cfg.Now()
	for _, a := range l.waiting {
		s.cfg.Reads.Charge(a.asker, s.readCost(looked)/len(l.waiting))
	}
	for _, a := range l.waiting {
		if a.detached {
			continue
		}
		if found == nil || l.log != s.history.Head().Log { // the bus was moved meanwhile: look there
			s.backlog.unlocated = append(s.backlog.unlocated, a)
			continue
		}
		i, _ := slices.BinarySearchFunc(l.Wanted, a.since, compareCursors)
		switch {
		case !found[i].IsZero():
			a.arrive(found[i])
		case looked >= l.Most && compareCursors(a.since, l.lead.since) != 0:
			s.backlog.unlocated = append(s.backlog.unlocated, a)
		default:
			s.history.RefuseLookup(a.since, now)
			a.arrive(domain.Cursor{})
		}
	}
	s.backlog.pokeIf(len(s.backlog.unlocated) > 0 && found != nil)
}

// arrive continues at the cursor that was looked up; zero if there is none.
func (a *Attachment) arrive(at domain.Cursor) {
	s := a.stream
	a.waiting = false
	if at.IsZero() || at.Log != s.history.Head().Log {
		a.apply(s.history.Unknown(), at)
	} else if a.resume(at); a.waiting {
		return
	}
	a.proceed()
}
