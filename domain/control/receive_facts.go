package control

import "time"

// takeFacts takes the facts of a message. The peer is nil if its sender is not known to
// be alive; fresh says that it was made just now.
func (m *Machine) takeFacts(msg *message, p *peer, fresh bool) {
	for i := range msg.facts {
		f := &msg.facts[i]
		if f.ver.ahead(m.now.Wall) {
			m.refuse("future")
			continue
		}
		if m.takeFact(msg, f, p, fresh) && fresh {
			m.owe(f.want)
		}
	}
}

// takeFact takes one fact, and reports whether this node obeys it, or a later one of the
// same key.
func (m *Machine) takeFact(msg *message, f *item, p *peer, fresh bool) bool {
	c := claim{key: f.key, value: f.value, ver: f.ver, del: f.del}
	c.origin = origin{inc: msg.inc, steps: msg.steps, until: f.until, keep: f.keep}
	offset := m.now.Mono.Milliseconds() - m.now.Wall
	if p != nil && p.clock.steps == msg.steps && p.clock.near(m.now) {
		offset = p.clock.offset
		c.origin.proven = p.trusted && fresh && !f.unproven
		c.origin.guessed = !p.trusted && !f.unproven
	}
	c.end, c.keep = m.ends(c.origin, f.del, offset)
	taken, held, result := m.merge(c)
	switch result {
	case full:
		m.refuse("too_many_facts")
		return false
	case ignored:
		return taken != nil
	case changed:
		m.version.observe(f.ver)
		taken.jitter = m.cfg.Rand()
		m.effect(taken, held)
	}
	taken.said = m.now.Mono
	taken.heard()
	return true
}

// ends converts the ends of a fact to Now.Mono by how far the sender's clock is from it. For
// a sender that is known, that is measured, so it does not matter that its clock is wrong;
// until it is known well, it is a guess. For any other, as of what was read in a log, both
// clocks count as if they were right, which proves nothing.
func (m *Machine) ends(o origin, del bool, offset int64) (end, keep time.Duration) {
	if !del {
		end = m.until(o.until, offset)
	}
	return end, m.until(o.keep, offset)
}

// until converts a time of a wall clock. What is too far in the future is not believed.
func (m *Machine) until(wall, offset int64) time.Duration {
	left := wall + offset - m.now.Mono.Milliseconds()
	switch most := MaxTTL.Milliseconds(); {
	case left > most+maxAhead.Milliseconds():
		left = most
	case left < -most:
		left = -most
	}
	return m.now.Mono + time.Duration(left)*time.Millisecond
}
