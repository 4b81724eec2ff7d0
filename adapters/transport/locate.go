package transport

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Locate finds where places of other logs are in the topic's, which holds
// copies of what they held. Wanted is in the order of logs and positions, each
// once. It looks at what the log holds from the time from on, at most entries
// of it, in one reading.
//
// Found has a place for each one wanted: everything that was copied of what is
// at or before the one wanted is at or before it, and everything else that was
// copied behind it. It is zero where no copies prove that. Looked is how many
// entries it has looked at: fewer than most if the log has no more, or all places
// were settled. Errors are Scan's.
func (t *Transport) Locate(ctx context.Context, topic string, wanted []domain.Location, from time.Time, most int) (found []domain.Location, looked int, err error) {
	l := newLocator(wanted)
	at, err := t.Scan(ctx, topic, "", from, func(batch []domain.Entry) bool {
		for i := range batch {
			l.look(&batch[i])
		}
		looked += len(batch)
		return l.open > 0 && looked < most
	})
	if err != nil {
		return nil, looked, fmt.Errorf("transport: locate in %q: %w", topic, err)
	}
	for i := range l.found {
		if l.found[i].Position != "" {
			l.found[i].Log = at.Log
		}
	}
	return l.found, looked, nil
}

// Origins returns the logs of which the topic's log holds copies that Locate
// would find, each once, as far as its oldest entries say, most of them: copies
// come first on a new bus. It returns at most 64, and how many entries it has
// looked at. Errors are Scan's; with one it returns what it has come to.
func (t *Transport) Origins(ctx context.Context, topic string, most int) (logs []domain.LogID, looked int, err error) {
	_, err = t.Scan(ctx, topic, "", time.Time{}, func(batch []domain.Entry) bool {
		for i := range batch {
			if batch[i].Late {
				continue
			}
			for _, p := range batch[i].Origins {
				if len(logs) < maxOriginals && !slices.Contains(logs, p.Log) {
					logs = append(logs, p.Log)
				}
			}
		}
		looked += len(batch)
		return looked < most
	})
	if err != nil {
		return logs, looked, fmt.Errorf("transport: origins in %q: %w", topic, err)
	}
	return logs, looked, nil
}

// A locator is one search. Copies come in the order of their logs, so that of
// each log's places the ones that are settled come first.
type locator struct {
	wanted []domain.Location
	found  []domain.Location
	logs   map[domain.LogID]*search
	open   int // places that are not settled
}

// A search is one log's part.
type search struct {
	next, end int             // the places that are not settled: wanted[next:end]
	last      domain.Position // where the latest copy is here; "" before the first
}

func newLocator(wanted []domain.Location) *locator {
	l := &locator{
		wanted: wanted, found: make([]domain.Location, len(wanted)),
		logs: make(map[domain.LogID]*search), open: len(wanted),
	}
	for start := 0; start < len(wanted); {
		log := wanted[start].Log
		end := start + sort.Search(len(wanted)-start, func(i int) bool { return wanted[start+i].Log > log })
		l.logs[log] = &search{next: start, end: end}
		start = end
	}
	return l
}

// look takes in the next entry.
func (l *locator) look(e *domain.Entry) {
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
			l.open--
		}
		s.last = e.Position
	}
}

// settle says where the next place wanted is, if the entry at that place, or a
// copy of it, tells. What is wanted before a copy is right behind the one before
// it; what is wanted there is there. A break tells of what was not copied before
// it: that is nowhere.
func (l *locator) settle(s *search, at domain.Position, e *domain.Entry) (settled bool) {
	wanted, found := l.wanted[s.next].Position, &l.found[s.next].Position
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
