package stream

import (
	"slices"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Lookup asks where places of other logs are in the present one; or, with
// Survey, of which logs it holds copies at all. It ends with Found or Surveyed.
type Lookup struct {
	Survey bool
	Wanted []domain.Cursor // each once, in the order of logs and positions
	Most   int             // most entries to look at

	log     domain.LogID // the present one
	lead    *Attachment  // whose turn it is
	waiting []*Attachment
}

// lookBack is by how much the clocks of two logs may differ.
const lookBack = time.Minute

// From is since when the log is to be looked at; zero: from its beginning.
func (l *Lookup) From() time.Time {
	if l.Survey {
		return time.Time{}
	}
	return lookFrom(l.lead.since.Time, lookBack)
}

// Asker is for whom it is done.
func (l *Lookup) Asker() Asker { return l.lead.asker }

// lookFrom is so much before a time that a client has told. A time that no log
// can have is none: 0, from the beginning.
func lookFrom(t time.Time, back time.Duration) time.Time {
	if t.IsZero() || t.Unix() < int64(back/time.Second) || t.Year() > 9998 {
		return time.Time{}
	}
	return t.Add(-back)
}

// lookUp parks a session until its place was looked for among the copies that
// the present log holds. If that cannot be, or nothing was copied from the
// cursor's log, or the place was looked for in vain just now, it is unknown.
func (a *Attachment) lookUp(since domain.Cursor) (at domain.Cursor, resumed bool) {
	s := a.stream
	if s.cfg.Past == nil || !s.cfg.HasLog || s.epochInWindow() || s.isForeign(since.Log) || s.past.refused.has(lookupKey(since), s.cfg.Now()) {
		return a.owe(s.unknown(), s.window.head, s.tip.Cursor), false
	}
	if s.cfg.Reads.over(a.asker) {
		return a.owe(domain.TooFar, s.window.head, s.tip.Cursor), false
	}
	a.waiting, a.since = true, since
	s.past.lost = append(s.past.lost, a)
	s.past.poke()
	return since, true
}

// maxOrigins bounds how many logs are known that the present one has copies of.
const maxOrigins = 64

// learn notes that the present log holds copies of another.
func (s *Stream) learn(log domain.LogID) {
	if !slices.Contains(s.past.origins, log) && len(s.past.origins) < maxOrigins {
		s.past.origins = append(s.past.origins, log)
	}
}

// isForeign says whether it is certain that the present log holds nothing that
// points to the log.
func (s *Stream) isForeign(log domain.LogID) bool {
	return s.past.surveyed && !s.knowsOrigin(log)
}

func (s *Stream) knowsOrigin(log domain.LogID) bool { return slices.Contains(s.past.origins, log) }

// NextLookup returns what is to be looked up, if anything: one Lookup at a
// time, that ends with Found or Surveyed. Wake says when to ask.
//
// It is done for the session whose turn it is. Others share it if their places
// are where it looks.
func (s *Stream) NextLookup() (*Lookup, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.past.looking || !s.begun || len(s.past.lost) == 0 {
		return nil, false
	}
	s.past.looking = true
	lead, _ := s.cfg.Reads.lightest(s.past.lost, nobody)
	l := &Lookup{Most: s.cfg.MaxScan, log: s.tip.Log, lead: lead}
	if !s.past.surveyed && !s.knowsOrigin(l.lead.since.Log) {
		l.Survey = true
		return l, true
	}
	from := l.From()
	var later []*Attachment
	for _, a := range s.past.lost {
		mine := lookFrom(a.since.Time, lookBack)
		if !s.knowsOrigin(a.since.Log) || mine.Before(from) {
			later = append(later, a)
			continue
		}
		l.waiting = append(l.waiting, a)
		l.Wanted = append(l.Wanted, a.since)
	}
	s.past.lost = later
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
// holds copies, as far as it was looked at. Who comes from another is told a gap,
// and if that was enough to know, whoever comes from there later, too.
func (s *Stream) Surveyed(l *Lookup, logs []domain.LogID, enough bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past.looking = false
	if l.log != s.tip.Log {
		s.past.poke()
		return
	}
	for _, log := range logs {
		s.learn(log)
	}
	s.past.surveyed = enough
	lost := s.past.lost
	s.past.lost = nil
	for _, a := range lost {
		if s.knowsOrigin(a.since.Log) {
			s.past.lost = append(s.past.lost, a)
			continue
		}
		a.arrive(domain.Cursor{})
	}
	s.past.pokeIf(len(s.past.lost) > 0)
}

// Found ends a Lookup: found are the same places in the present log, in the
// order of Wanted, zero where there is none, after so many entries were looked
// at. Those who waited go on there, or are told a gap; but for those whose places
// may be further on: they have their own turn. With found nil the log could not
// be reached, to survey it or to look something up: they keep waiting, and
// NextLookup is to be asked again.
func (s *Stream) Found(l *Lookup, found []domain.Cursor, looked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past.looking = false
	now := s.cfg.Now()
	for _, a := range l.waiting {
		s.cfg.Reads.charge(a.asker, s.readCost(looked)/len(l.waiting))
	}
	for _, a := range l.waiting {
		if a.detached {
			continue
		}
		if found == nil || l.log != s.tip.Log { // the bus was moved meanwhile: it is looked for there
			s.past.lost = append(s.past.lost, a)
			continue
		}
		i, _ := slices.BinarySearchFunc(l.Wanted, a.since, compareCursors)
		switch {
		case !found[i].IsZero():
			a.arrive(found[i])
		case looked >= l.Most && compareCursors(a.since, l.lead.since) != 0:
			s.past.lost = append(s.past.lost, a)
		default:
			s.past.refused.add(lookupKey(a.since), now)
			a.arrive(domain.Cursor{})
		}
	}
	s.past.pokeIf(len(s.past.lost) > 0 && found != nil)
}

// readCost is what reading so many entries costs: to begin costs, too.
func (s *Stream) readCost(entries int) int { return entries + max(1, s.cfg.MaxScan/100) }

// arrive goes on at the place that was looked up.
func (a *Attachment) arrive(at domain.Cursor) {
	s := a.stream
	a.waiting = false
	if at.IsZero() || at.Log != s.tip.Log {
		a.owe(s.unknown(), s.window.head, s.tip.Cursor)
	} else if a.resume(at); a.waiting {
		return
	}
	a.goOn()
}

// Refusals are remembered for a while, so that who asks the same again costs
// no reading. They are bounded: the oldest is forgotten first.
type refusals struct {
	until map[domain.Cursor]time.Time
	queue []domain.Cursor
}

const (
	maxRefusals = 1024
	// refuseFor is for how long a refusal is remembered. What could not be read
	// may be readable again after a failure of the broker.
	refuseFor = 10 * time.Second
)

func (r *refusals) add(c domain.Cursor, now time.Time) {
	if r.until == nil {
		r.until = make(map[domain.Cursor]time.Time)
	}
	if _, known := r.until[c]; !known {
		if len(r.queue) == maxRefusals {
			delete(r.until, r.queue[0])
			r.queue = append(r.queue[:0], r.queue[1:]...)
		}
		r.queue = append(r.queue, c)
	}
	r.until[c] = now.Add(refuseFor)
}

func (r *refusals) has(c domain.Cursor, now time.Time) bool {
	until, known := r.until[c]
	return known && now.Before(until)
}

// lookupKey is what a refused Lookup is known by. The time counts: it says where
// the search began, and may be forged.
func lookupKey(c domain.Cursor) domain.Cursor {
	return domain.Cursor{Log: c.Log, Position: c.Position, Time: c.Time}
}
