package control

// A death is that of a node which did not say that it ends.
type death struct {
	node  string
	heard int64 // when it was heard last, in Unix milliseconds of this node
}

const (
	// maxDeaths is how many deaths are remembered.
	maxDeaths = 100
	// unsaidFor is for how long a node may not have said a mark: some rounds of them.
	unsaidFor = 3000 // ms
)

// mourn remembers that a node has died.
func (m *Machine) mourn(p *peer) {
	if len(m.deaths) == maxDeaths {
		m.deaths = append(m.deaths[:0], m.deaths[1:]...)
	}
	heard := m.now.Wall - (m.now.Mono - p.heard).Milliseconds()
	m.deaths = append(m.deaths, death{p.name, heard})
}

// Lost returns the nodes that died before they can have said what became of a message of a
// time, in Unix milliseconds, sorted by when.
func (m *Machine) Lost(logged int64) (names []string) {
	for _, d := range m.deaths {
		if logged >= d.heard-unsaidFor && logged <= d.heard+2*m.cfg.DeadAfter.Milliseconds() {
			names = append(names, d.node)
		}
	}
	return names
}
