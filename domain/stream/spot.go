package stream

import (
	"slices"

	"github.com/fanfarebus/fanfare/domain"
)

// A spot is a place in a log, and where the same entry was in the logs that it
// was copied from, the latest first.
type spot struct {
	domain.Cursor
	also []domain.Location
}

// in returns the spot's position in a log.
func (p *spot) in(log domain.LogID) (domain.Position, bool) {
	if p.Log == log {
		return p.Position, true
	}
	return domain.PositionIn(p.also, log)
}

// placeSize is what a place in an earlier log takes beside its position.
const placeSize = 24

// size is what a spot keeps alive: its position, and those in earlier logs.
func (p *spot) size() int {
	n := domain.HeapSize(len(p.Position)) + domain.HeapSize(placeSize*len(p.also))
	for _, place := range p.also {
		n += domain.HeapSize(len(place.Position))
	}
	return n
}

// first is the position in the log where the entry was published.
func (p *spot) first() domain.Position {
	if n := len(p.also); n > 0 {
		return p.also[n-1].Position
	}
	return p.Position
}

// Stretches say in which logs the window's entries have places: all entries of
// a stretch in the same ones, in which they ascend as they do in the window.
type stretches []stretch

type stretch struct {
	from uint64         // number of its first entry; it ends where the next begins
	logs []domain.LogID // the log itself, then those of which its entries are copies
}

// push adds entry n, the newest.
func (s *stretches) push(n uint64, at *spot) {
	if last := len(*s) - 1; last < 0 || !(*s)[last].holds(at) {
		*s = append(*s, stretch{n, logs(at)})
	}
}

// prepend adds entry n, the oldest.
func (s *stretches) prepend(n uint64, at *spot) {
	if len(*s) > 0 && (*s)[0].holds(at) {
		(*s)[0].from = n
		return
	}
	*s = slices.Insert(*s, 0, stretch{n, logs(at)})
}

// trim forgets the stretches of which no entry is left.
func (s *stretches) trim(base uint64) {
	for len(*s) > 1 && (*s)[1].from <= base {
		*s = (*s)[1:]
	}
}

// of returns where the entries with places in the log are, if any: from from up
// to but without to, which is head at most.
func (s stretches) of(log domain.LogID, head uint64) (from, to uint64, found bool) {
	to = head
	for i := len(s) - 1; i >= 0; i-- {
		switch has := slices.Contains(s[i].logs, log); {
		case has:
			from, found = s[i].from, true
		case found:
			return from, to, true
		default:
			to = s[i].from
		}
	}
	return from, to, found
}

func logs(at *spot) []domain.LogID {
	all := make([]domain.LogID, 0, 1+len(at.also))
	all = append(all, at.Log)
	for _, p := range at.also {
		all = append(all, p.Log)
	}
	return all
}

// holds says whether an entry at the spot has places in the stretch's logs, and
// no others.
func (s *stretch) holds(at *spot) bool {
	if len(s.logs) != 1+len(at.also) || s.logs[0] != at.Log {
		return false
	}
	for i, p := range at.also {
		if s.logs[i+1] != p.Log {
			return false
		}
	}
	return true
}
