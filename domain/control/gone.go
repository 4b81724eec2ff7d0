package control

import (
	"slices"
	"time"
)

// A Gone is a node that has ended, or died.
type Gone struct {
	Name        string
	Incarnation string
	Heard       time.Time // when it was heard last, by this node's clock
}

// maxGone is how many of them are remembered.
const maxGone = 64

// noteGone takes note that a peer is not alive any more.
func (m *Machine) noteGone(p *peer) {
	heard := time.UnixMilli(m.now.Wall - (m.now.Mono - p.heard).Milliseconds()).UTC()
	if len(m.gone) >= maxGone {
		m.gone = append(m.gone[:0], m.gone[1:]...)
	}
	m.gone = append(m.gone, Gone{Name: p.name, Incarnation: p.inc, Heard: heard})
}

// Gone returns the nodes that have ended or died while this one ran, the newest ones, in that
// order. A node that was only silent for a while, and is back, is not among them.
func (m *Machine) Gone() []Gone {
	return slices.DeleteFunc(slices.Clone(m.gone), func(g Gone) bool {
		return m.nodes.peers[g.Incarnation] != nil
	})
}
