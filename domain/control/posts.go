package control

// Posts reports whether it is this node that posts to its webhooks: of the live nodes with
// the same Config.Webhooks that know the facts and do not drain, the earliest incarnation
// does, so that deliveries keep their order and there is one of each. It is the one that
// speaks, too, if all nodes have the same webhooks.
//
// It is false while the node does not know yet who else is there, which takes some seconds
// after its start. When the one that posts has died, nobody does until it is declared dead.
// Nodes that do not hear each other, or have not yet, may post at the same time.
func (m *Machine) Posts() bool {
	s := &m.speaker
	if !s.synced || m.now.Mono-s.since < electAfter || m.self.leaving || m.self.status.Draining {
		return false
	}
	for _, p := range m.nodes.list {
		b := p.beat
		if p.inc < m.cfg.Incarnation && b != nil && b.ready && !b.draining && b.webhooks == m.cfg.Webhooks {
			return false
		}
	}
	return true
}

// Echoed reports whether a message of this node has ever come back, which proves that it
// reads and writes the control topic.
func (m *Machine) Echoed() bool { return m.self.echoed }
