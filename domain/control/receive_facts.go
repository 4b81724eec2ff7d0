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
	c.end, c.keep, c.unproven = m.ends(msg, f, p, fresh)
	c.unproven = c.unproven || f.unproven
	taken, held, result := m.facts.merge(m.now.Mono, c)
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

// ends converts the ends of a fact to Now.Mono. For a message that was made just now the
// sender's clock counts relative to this node's, so that it does not matter that it is
// wrong. Until that is known well the end is unproven: it may be too late by how long the
// message took. In any other message both clocks count as if they were right, unless the
// sender is known; such an end is unproven, too.
func (m *Machine) ends(msg *message, f *item, p *peer, fresh bool) (end, keep time.Duration, unproven bool) {
	offset := m.now.Mono.Milliseconds() - m.now.Wall
	unproven = true
	if p != nil && p.clock.steps == msg.steps && abs(p.clock.offset-offset) <= maxAhead.Milliseconds() {
		settled := p.clock.settled(m.now.Mono, m.cfg.Heartbeat)
		if fresh || settled {
			offset, unproven = p.clock.offset, !fresh || !settled
		}
	}
	if !f.del {
		end = m.until(f.until, offset)
	}
	return end, m.until(f.keep, offset), unproven
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
