package control

// An origin is where the ends of a fact come from. They are proven if they were said by a
// node whose clock was known, or by this one.
type origin struct {
	inc         string // who said them
	steps       uint32 // how often its clock had stepped
	until, keep int64  // by its clock, in ms
	proven      bool
	// guessed says that the ends count from when the message came, since the clock of
	// its sender was not known yet. They may be too late by how long it took.
	guessed bool
}

// doubts are the facts whose ends are not proven: how many there are in each bucket.
type doubts struct {
	all int
	in  [bucketCount]int
}

// from notes where the ends of a fact come from.
func (t *facts) from(f *fact, o origin) {
	if f.origin.proven != o.proven {
		change := 1
		if o.proven {
			change = -1
		}
		t.doubts.all += change
		t.doubts.in[f.bucket()] += change
	}
	f.origin = o
}

// question returns the digests of the buckets, to be compared with another node's. Where
// an end is not proven the digest is a wrong one, so that the answer has all facts of the
// bucket.
func (t *facts) question() [bucketCount]uint64 {
	sums := t.buckets
	for i, n := range t.doubts.in {
		if n > 0 {
			sums[i] = ^sums[i]
		}
	}
	return sums
}

// askEnds asks a peer that has the same facts for their ends, if some are not proven here.
// It may be that no node knows them better, as after a restart of all, so it asks more and
// more rarely.
func (m *Machine) askEnds(p *peer) {
	x := &m.exchange
	if m.facts.doubts.all == 0 {
		x.proving = m.cfg.Heartbeat
		return
	}
	if !p.trusted || !p.beat.ready || x.ask != nil || m.now.Mono < x.prove {
		return
	}
	x.prove = m.now.Mono + x.proving
	x.proving = min(2*x.proving, m.cfg.Refresh)
	x.ask = &p.inc
}

// prove corrects the ends of the facts that a peer has said before its clock was known.
func (m *Machine) prove(p *peer) {
	if m.facts.doubts.all == 0 {
		return
	}
	for _, f := range m.facts.all {
		if o := f.origin; !o.proven && o.inc == p.inc && o.steps == p.clock.steps {
			if f.due() <= m.now.Mono {
				continue // its time is over, which the next Tick does
			}
			o.proven, o.guessed = o.guessed, false // what is not guessed was no fresh message
			m.redate(f, o, p.clock.offset)
		}
	}
}

// redate converts the ends of a fact again.
func (m *Machine) redate(f *fact, o origin, offset int64) {
	held := f.holds(m.now.Mono)
	m.facts.from(f, o)
	end, keep := m.ends(o, f.del, offset)
	m.facts.reset(m.now.Mono, f, end, keep)
	if f.holds(m.now.Mono) != held {
		m.effect(f, held)
	}
}
