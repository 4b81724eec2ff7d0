package provenance

import (
	"sort"

	"github.com/fanfarebus/fanfare/domain"
)

// A Locator finds locations of other logs in one log, which holds copies of what
// they held. It is given the entries of that log in order, as a [Reader] has read
// them. It belongs to one goroutine.
//
// Copies come in the order of their logs. So of the locations that are wanted in
// one log, the earlier ones are settled before the later ones.
type Locator struct {
	wanted    []domain.Location
	found     []domain.Location // as long as wanted; a zero position is not found
	logs      map[domain.LogID]*search
	unsettled int // how many of wanted
}

// A search is one log's part.
type search struct {
	next, end int             // wanted[next:end] is not settled
	lastCopy  domain.Position // where the latest copy is here; "" before the first
}

// NewLocator returns a Locator of locations, which are in the order of their logs
// and positions, each once.
func NewLocator(wanted []domain.Location) *Locator {
	l := &Locator{
		wanted: wanted, found: make([]domain.Location, len(wanted)),
		logs: make(map[domain.LogID]*search), unsettled: len(wanted),
	}
	for start := 0; start < len(wanted); {
		log := wanted[start].Log
		inNextLog := func(i int) bool { return wanted[start+i].Log > log }
		end := start + sort.Search(len(wanted)-start, inNextLog)
		l.logs[log] = &search{next: start, end: end}
		start = end
	}
	return l
}

// Done says that further entries tell nothing more.
func (l *Locator) Done() bool { return l.unsettled == 0 }

// Take takes the next entry.
func (l *Locator) Take(e *domain.Entry) {
	if e.Late {
		return
	}
	for _, origin := range e.Origins {
		s := l.logs[origin.Log]
		if s == nil {
			continue
		}
		for s.next < s.end && l.settle(s, origin.Position, e) {
			s.next++
			l.unsettled--
		}
		s.lastCopy = e.Position
	}
}

// settle decides about the next location wanted in a log, if e tells; e is a copy
// of what was at the position at.
//
//   - What is wanted at that position is where the copy is.
//   - What is wanted before it, with no copy in between, is where the copy before
//     this one is.
//   - If e is a gap, it is not known what was there: it is not found.
func (l *Locator) settle(s *search, at domain.Position, e *domain.Entry) (settled bool) {
	wanted, found := l.wanted[s.next].Position, &l.found[s.next].Position
	switch {
	case wanted < at && e.Kind != domain.Gap:
		*found = s.lastCopy
	case wanted == at && e.Kind != domain.Gap:
		*found = e.Position
	case wanted >= at:
		return false
	}
	return true
}

// Found returns, for each location wanted, where it is in the log that was read,
// whose id is log; a zero location if no copies prove that.
func (l *Locator) Found(log domain.LogID) []domain.Location {
	for i := range l.found {
		if l.found[i].Position != "" {
			l.found[i].Log = log
		}
	}
	return l.found
}
