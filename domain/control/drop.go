package control

// dropStep is how many seats are looked at at a time for the rows of nodes that have ended:
// that takes some milliseconds, while the node's clients wait.
const dropStep = 10_000

// drops are the sources that are forgotten little by little, all in one pass over the seats.
type drops struct {
	of map[source]cause
	at uint32 // the seat that is looked at next
}

// drop forgets a source, with its rows and what was staged for it. Where there are many
// seats, some of its rows count until later ticks. No row of the source may come any more.
func (p *presence) drop(now Now, src source, c cause) {
	p.unstage(src)
	if n, _ := p.digest(src); n == 0 {
		delete(p.tallies, src)
		return
	}
	if p.drops.of == nil {
		p.drops.of = make(map[source]cause)
	}
	if p.drops.of[src] = c; len(p.drops.of) == 1 {
		p.dropSome(now)
	}
}

// dropSome goes on with what drop has begun.
func (p *presence) dropSome(now Now) {
	d := &p.drops
	for looked := 0; len(d.of) > 0 && looked < dropStep; looked++ {
		if d.at >= p.seats.end {
			d.at = 0
		}
		id := d.at
		d.at++
		for src, found := p.dropped(id); found; src, found = p.dropped(id) {
			p.change(now, id, src, 0, d.of[src])
			if n, _ := p.digest(src); n == 0 {
				delete(d.of, src)
				delete(p.tallies, src)
			}
			if id >= p.seats.end {
				break // it was the last one
			}
		}
	}
}

// dropped returns a source that has a row in a seat and is being forgotten.
func (p *presence) dropped(id uint32) (source, bool) {
	s := p.seats.at(id)
	if _, is := p.drops.of[s.src]; is {
		return s.src, true
	}
	for i := s.more; i != 0; {
		e := p.more.at(i - 1)
		if _, is := p.drops.of[e.src]; is {
			return e.src, true
		}
		i = e.more
	}
	return 0, false
}

// dropping reports whether rows of nodes that have ended still count.
func (p *presence) dropping() bool { return len(p.drops.of) > 0 }
