package control

// beginSnapshot makes room for a source's rows beside those that it has. What was staged
// for it before is thrown away.
func (p *presence) beginSnapshot(src source) {
	p.unstage(src)
	p.tally(src | staged)
}

// stage takes a row of a snapshot. False: it was refused, as set does; the snapshot
// cannot be complete then.
func (p *presence) stage(src source, r row) bool {
	t, begun := p.tallies[src|staged]
	if !begun || !p.acceptable(r) {
		return false
	}
	id, ok := p.findSeat(r.place, r.user)
	if !ok && r.n == 0 {
		return true
	}
	if !ok || p.row(p.seats.at(id), src|staged) == nil {
		if r.n > 0 && (p.stagedRows >= p.cfg.Rows || len(t.seats) >= 2*p.cfg.Rows) {
			return false
		}
		if !ok {
			id = p.newSeat(r.place, r.user)
		}
		if r.n > 0 {
			t.seats = append(t.seats, id)
		}
	}
	p.put(id, src|staged, uint32(r.n))
	p.release(id)
	return true
}

// endSnapshot puts the staged rows in the place of those that the source had, if the
// digest says that they are complete. False: they were thrown away. It looks at all seats.
func (p *presence) endSnapshot(now Now, src source, n int, sum uint64, c cause) bool {
	t, begun := p.tallies[src|staged]
	have, _ := p.digest(src)
	if !begun || t.rows != n || t.sum != sum || p.otherRows-have+n > p.cfg.Rows {
		p.unstage(src)
		return false
	}
	for id := uint32(0); id < p.seats.end; id++ { // the end may come nearer
		s := p.seats.at(id)
		var number uint32
		if next := p.row(s, src|staged); next != nil {
			number = *next
			p.put(id, src|staged, 0)
		}
		p.change(now, id, src, number, c)
	}
	delete(p.tallies, src|staged)
	return true
}

// unstage throws away what is staged for a source. It looks at no other seats: whoever can
// write to the bus can have that done as often as they like.
func (p *presence) unstage(src source) {
	t, begun := p.tallies[src|staged]
	if !begun {
		return
	}
	for _, id := range t.seats {
		if id < p.seats.end && p.row(p.seats.at(id), src|staged) != nil {
			p.put(id, src|staged, 0)
			p.release(id)
		}
	}
	delete(p.tallies, src|staged)
}
