package history

import (
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare/domain"
)

// A Point is where an entry is: the cursor that clients get for it, and the
// locations that the entry was copied from, newest first.
type Point struct {
	domain.Cursor
	Origins []domain.Location
}

// PositionIn returns the point's position in a log, which is either the
// cursor's or one that the entry was copied from.
func (p *Point) PositionIn(log domain.LogID) (domain.Position, bool) {
	if p.Log == log {
		return p.Position, true
	}
	return domain.PositionIn(p.Origins, log)
}

// Published returns the position in the log that the entry was published to:
// that of its oldest origin, or its own if it is no copy.
func (p *Point) Published() domain.Position {
	if n := len(p.Origins); n > 0 {
		return p.Origins[n-1].Position
	}
	return p.Position
}

// Clone returns a copy that shares no memory with p.
func (p *Point) Clone() Point {
	c := *p
	c.Position = domain.Position(strings.Clone(string(p.Position)))
	c.Origins = slices.Clone(p.Origins)
	for i := range c.Origins {
		c.Origins[i].Position = domain.Position(strings.Clone(string(c.Origins[i].Position)))
	}
	return c
}

// locationSize is what a domain.Location takes beside its position's bytes.
const locationSize = 24

// Size is about how many bytes of the heap a point keeps alive: its position
// and its origins.
func (p *Point) Size() int {
	n := domain.HeapSize(len(p.Position)) + domain.HeapSize(locationSize*len(p.Origins))
	for _, o := range p.Origins {
		n += domain.HeapSize(len(o.Position))
	}
	return n
}
