package control

// doubts are the facts whose ends came by absolute clocks, which may be wrong: how many
// there are in each bucket.
type doubts struct {
	all int
	in  [bucketCount]int
}

// doubt notes whether the end of a fact is unproven.
func (t *facts) doubt(f *fact, unproven bool) {
	if f.unproven == unproven {
		return
	}
	f.unproven = unproven
	change := 1
	if !unproven {
		change = -1
	}
	t.doubts.all += change
	t.doubts.in[f.bucket()] += change
}

// question returns the digests of the buckets, to be compared with another node's. Where
// an end is unproven the digest is a wrong one, so that the answer has all facts of the
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

// prove asks a peer that has the same facts for their ends, if this node has some that
// are unproven. It may be that no node knows them better, as after a restart of all, so
// it asks more and more rarely.
func (m *Machine) prove(p *peer) {
	x := &m.exchange
	if m.facts.doubts.all == 0 {
		x.proving = m.cfg.Heartbeat
		return
	}
	settled := p.clock.settled(m.now.Mono, m.cfg.Heartbeat)
	if !settled || !p.beat.ready || x.ask != nil || m.now.Mono < x.prove {
		return
	}
	x.prove = m.now.Mono + x.proving
	x.proving = min(2*x.proving, m.cfg.Refresh)
	x.ask = &p.inc
}
