package control

import (
	"fmt"
	"math"
	"strings"
)

// renew gives the node another incarnation because somebody has spoken in its name, with a
// number that it cannot go on behind, or with a time that spoils what others know of its
// clock. They see a node that was started again, and ask for its rows. The
// new incarnation cannot be foreseen, so nobody can have spoken in its name. The node does
// so at most once a heartbeat. Until whoever forges has ended, others may see it come and go.
func (m *Machine) renew() {
	s := &m.self
	if s.renewals > 0 && m.now.Mono-s.renewed < m.cfg.Heartbeat {
		return
	}
	s.renewals++
	s.renewed = m.now.Mono
	base, _, _ := strings.Cut(m.cfg.Incarnation, renewal)
	random := uint32(m.cfg.Rand() * math.MaxUint32)
	m.cfg.Incarnation = fmt.Sprintf("%.40s%s%06x%08x", base, renewal, s.renewals, random)
	s.seq, s.echoSeq = 0, 0
	m.snaps.running = false
	m.beatSoon(0)
}

// renewal stands between the incarnation that a node began with and what makes it another.
// The other one is later, and earlier than that of any node that was started later.
const renewal = "."

// isRenewed reports whether an incarnation is what renew has made of another.
func isRenewed(old, inc string) bool {
	base, _, _ := strings.Cut(old, renewal)
	return strings.HasPrefix(inc, base+renewal)
}

// renewed has commands wait for the later incarnation of a node that has not applied them.
func (c *commands) renewed(old, inc string) {
	for _, cmd := range c.list {
		if name, asked := cmd.asked[old]; asked && !cmd.applied[old] {
			delete(cmd.asked, old)
			cmd.asked[inc] = name
		}
	}
}

// renewed has questions wait for the later incarnation of a node that has not answered.
func (t *talk) renewed(old, inc string) {
	for _, q := range t.open {
		if name, asked := q.asked[old]; asked && len(q.answers[old].Incarnation) == 0 {
			delete(q.asked, old)
			q.asked[inc] = name
		}
	}
}
