package control

import (
	"bytes"
	"math"
	"slices"
)

// who returns the users in a place whose names come after a name, at most limit. It
// leaves Page.Complete to its caller. It looks at all seats of the place.
func (p *presence) who(at Place, after string, limit int) Page {
	var page Page
	if w := p.watched.at[at]; w != nil {
		page.Version = w.version
	}
	id, ok := p.dir.findPlace(at)
	if !ok {
		return page
	}
	page.Count = p.dir.places.at(id).count
	if limit <= 0 {
		return page
	}
	first := p.firstAfter(id, after, limit)
	if more := len(first) > limit; more {
		first = first[:limit]
		page.Next = string(first[limit-1].name)
	}
	page.Users = make([]Present, len(first))
	for i, f := range first {
		page.Users[i] = p.present(f.seat)
	}
	return page
}

type namedSeat struct {
	name []byte
	seat uint32
}

func byName(a, b namedSeat) int { return bytes.Compare(a.name, b.name) }

// firstAfter returns the first limit+1 users after a name, sorted. It holds no more than
// twice as many at a time.
func (p *presence) firstAfter(place uint32, after string, limit int) (found []namedSeat) {
	limit = min(limit, len(p.dir.places.at(place).seats)) + 1
	cut := func() {
		slices.SortFunc(found, byName)
		found = found[:min(limit, len(found))]
	}
	var below []byte // names from here on are not among the first; nil: not known
	for _, id := range p.dir.places.at(place).seats {
		s := p.seats.at(id)
		name := p.dir.name(s.user)
		if s.since == 0 || string(name) <= after || below != nil && bytes.Compare(name, below) >= 0 {
			continue
		}
		found = append(found, namedSeat{name, id})
		if len(found) == 2*limit {
			cut()
			below = found[limit-1].name
		}
	}
	cut()
	return found
}

func (p *presence) present(id uint32) Present {
	s := p.seats.at(id)
	return Present{
		User:     string(p.dir.name(s.user)),
		Sessions: int(min(p.sessions(s), math.MaxInt32)),
		Since:    int64(s.since) * 1000,
	}
}

// find returns those of the users who are in a place, in their order.
func (p *presence) find(at Place, users []string) (found []Present) {
	for _, user := range users {
		if id, ok := p.findSeat(at, user); ok && p.seats.at(id).since != 0 {
			found = append(found, p.present(id))
		}
	}
	return found
}
