package provenance

import (
	"sort"

	"github.com/fanfarebus/fanfare/domain"
)

// A Locator is one search. Copies come in the order of their logs, so that of
// each log's places the ones that are settled come first.
type Locator struct {
	wanted []domain.Location
	Found  []domain.Location
	logs   map[domain.LogID]*search
	Open   int // places that are not settled
}

// A search is one log's part.
type search struct {
	next, end int             // the places that are not settled: wanted[next:end]
	last      domain.Position // where the latest copy is here; "" before the first
}

// NewLocator returns a Locator of places in the order of logs and positions.
func NewLocator(wanted []domain.Location) *Locator {
	l := &Locator{
		wanted: wanted, Found: make([]domain.Location, len(wanted)),
		logs: make(map[domain.LogID]*search), Open: len(wanted),
	}
	for start := 0; start < len(wanted); {
		log := wanted[start].Log
		end := start + sort.Search(len(wanted)-start, func(i int) bool { return wanted[start+i].Log > log })
		l.logs[log] = &search{next: start, end: end}
		start = end
	}
	return l
}

// Look takes in the next entry.
func (l *Locator) Look(e *domain.Entry) {
	if e.Late {
		return
	}
	for _, p := range e.Origins {
		s := l.logs[p.Log]
		if s == nil {
			continue
		}
		for s.next < s.end && l.settle(s, p.Position, e) {
			s.next++
			l.Open--
		}
		s.last = e.Position
	}
}

// settle says where the next place wanted is, if the entry at that place, or a
// copy of it, tells. What is wanted before a copy is right behind the one before
// it; what is wanted there is there. A break tells of what was not copied before
// it: that is nowhere.
func (l *Locator) settle(s *search, at domain.Position, e *domain.Entry) (settled bool) {
	wanted, found := l.wanted[s.next].Position, &l.Found[s.next].Position
	switch {
	case wanted < at && e.Kind != domain.Gap:
		*found = s.last
	case wanted == at && e.Kind != domain.Gap:
		*found = e.Position
	case wanted >= at:
		return false
	}
	return true
}
