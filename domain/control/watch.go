package control

import "slices"

// maxNet bounds how many users a [Change] names.
const maxNet = 10_000

// A watching is what has changed in a place that somebody watches.
type watching struct {
	place   Place
	watches int             // Watch without Unwatch
	net     map[string]bool // who has come (true) or gone since the last call of changes
	listed  bool            // it is in watches.changed
	cut     bool            // more than maxNet have come and gone

	version, told uint64 // now, and at the last call of changes: see Page.Version
}

// watches are the places that are watched.
type watches struct {
	at      map[Place]*watching
	changed []*watching
	version uint64 // the newest of any place
}

func (p *presence) watch(at Place) {
	w := p.watched.at[at]
	if w == nil {
		p.watched.version++
		w = &watching{place: at, version: p.watched.version, told: p.watched.version}
		p.watched.at[at] = w
		if id, ok := p.dir.findPlace(at); ok {
			p.dir.places.at(id).watch = w
		}
	}
	w.watches++
}

func (p *presence) unwatch(at Place) {
	w := p.watched.at[at]
	if w == nil {
		return
	}
	if w.watches--; w.watches > 0 {
		return
	}
	delete(p.watched.at, at)
	w.net = nil
	if id, ok := p.dir.findPlace(at); ok {
		p.dir.places.at(id).watch = nil
	}
}

// note notes that a user has come to a place or gone from it. It does nothing for a
// place that is not watched (nil).
func (ws *watches) note(w *watching, name []byte, joined bool) {
	if w == nil {
		return
	}
	ws.version++
	w.version = ws.version
	if !w.listed {
		w.listed = true
		w.net = map[string]bool{}
		ws.changed = append(ws.changed, w)
	}
	if w.cut {
		return
	}
	user := string(name)
	if before, ok := w.net[user]; ok && before != joined {
		delete(w.net, user)
		return
	}
	w.net[user] = joined
	if len(w.net) > maxNet {
		w.net, w.cut = nil, true
	}
}

// changes returns the watched places that have changed since the last call, in the order
// in which they changed first. A place is among them, too, if those who came have gone
// again: who asked in between knows of them.
func (p *presence) changes() (changes []Change) {
	for _, w := range p.watched.changed {
		if w.watches > 0 {
			changes = append(changes, p.changeOf(w))
		}
		w.net, w.listed, w.cut, w.told = nil, false, false, w.version
	}
	p.watched.changed = nil
	return changes
}

func (p *presence) changeOf(w *watching) Change {
	c := Change{Place: w.place, From: w.told, To: w.version, Cut: w.cut}
	if id, ok := p.dir.findPlace(w.place); ok {
		c.Count = p.dir.places.at(id).count
	}
	for user, joined := range w.net {
		if joined {
			c.Joined = append(c.Joined, user)
		} else {
			c.Left = append(c.Left, user)
		}
	}
	slices.Sort(c.Joined)
	slices.Sort(c.Left)
	return c
}
