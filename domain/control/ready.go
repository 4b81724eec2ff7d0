package control

import "time"

// readiness is whether the node knows the facts.
type readiness struct {
	is     bool
	asking bool          // it asks others for them
	tries  int           // how often it has asked
	since  time.Duration // when it last asked
}

// aloneAfter is how long after its first message came back a node that has heard nobody
// takes itself to be alone, and how long it waits for an answer, or for more of it.
const aloneAfter = time.Second

// Subscribed says that the control topic is read from now on, and that everything which
// the log held is in Receive's past.
func (m *Machine) Subscribed(now Now) {
	m.enter(now)
	m.beatSoon(0)
	if m.cfg.Log {
		m.becomeReady()
	}
	if !m.ready.is {
		m.ready.asking = true
		m.askForAll()
	}
}

// Ready reports whether the node knows the facts: it has read the log, or has them from a
// live node, or knows that it is alone.
func (m *Machine) Ready() bool { return m.ready.is }

func (m *Machine) becomeReady() {
	if !m.ready.is {
		m.ready = readiness{is: true}
		m.beatSoon(0)
	}
}

// askForAll asks for all facts: first whoever is the one to answer, later one node after
// the other, since that one may be frozen.
func (m *Machine) askForAll() {
	to := ""
	if n := len(m.nodes.list); n > 0 && m.ready.tries > 0 {
		to = m.nodes.list[(m.ready.tries-1)%n].inc
	}
	m.exchange.ask = &to
	m.ready.tries++
	m.ready.since = m.now.Mono
}

// answered takes note that a peer has said all facts that this node asked for. If
// something of it may have been missed, this node asks again.
func (m *Machine) answered(p *peer) {
	if m.ready.asking && p.gapAt < m.ready.since {
		m.becomeReady()
	}
}

// getReady does what is due while the node does not know the facts.
func (m *Machine) getReady() {
	if !m.ready.asking || !m.self.echoed {
		return
	}
	if len(m.nodes.list) == 0 {
		if m.now.Mono-m.self.echoedAt >= aloneAfter {
			m.becomeReady()
		}
		return
	}
	if m.now.Mono-m.ready.since >= aloneAfter && !m.receives() {
		m.askForAll()
	}
}
