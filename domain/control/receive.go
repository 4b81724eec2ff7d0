package control

import (
	"fmt"
	"slices"
)

// Receive takes what one entry of the control topic holds; payload is not kept. The
// node's own messages come here, too: that they come back proves that the bus works.
// Backlog says that the entry was in the log before the node had begun to read: of such
// entries only facts count. Input that is malformed, forged or old changes nothing that
// it should not, and is counted; the error says why, for the log.
func (m *Machine) Receive(now Now, payload []byte, backlog bool) error {
	now = m.enter(now)
	m.stats.Received++
	if len(payload) > 2*max(m.cfg.Message, DefaultMessage) {
		m.refuse("too_large")
		return fmt.Errorf("%w: it has %d bytes", errMalformed, len(payload))
	}
	msg, err := parse(payload)
	if err != nil {
		m.refuse("malformed")
		return err
	}
	for reason := range msg.refused {
		m.refuse(reason)
		err = fmt.Errorf("%w: %s, of node %q", errMalformed, reason, msg.node)
	}
	switch {
	case backlog:
		m.nodes.recall(msg)
		m.takeFacts(msg, m.nodes.peers[msg.inc], false)
	case msg.inc == m.cfg.Incarnation:
		m.echo(msg)
	default:
		m.hear(now, msg)
	}
	return err
}

// echo takes an own message that came back.
func (m *Machine) echo(msg *message) {
	if msg.seq > m.self.seq {
		m.refuse("forged")
		if msg.seq-m.self.seq <= maxSkip { // others take what has a smaller number for old
			m.self.seq = msg.seq
		}
		// Whoever has not heard this node before may believe a greater number, and others
		// would take this node's clock to be ahead.
		if msg.seq <= maxFirst && (msg.seq > m.self.seq || msg.at-m.now.Wall > clockJump) {
			m.renew()
		}
		return
	}
	if !m.self.echoed {
		m.self.echoed, m.self.echoedAt = true, m.now.Mono
	}
	m.self.echo, m.self.echoSeq = m.now.Mono, max(m.self.echoSeq, msg.seq)
	for i := range msg.facts {
		m.saved(msg.facts[i].key, msg.facts[i].ver)
	}
}

// hear takes a message of another node.
func (m *Machine) hear(now Now, msg *message) {
	p, worth := m.nodes.hear(now, msg)
	switch worth {
	case stale:
		m.refuse("stale")
	case crowded:
		m.refuse("too_many_nodes")
	case replaced:
		m.refuse("replaced")
	}
	if worth != fresh {
		m.takeFacts(msg, p, false)
		return
	}
	if p.seq == 0 {
		m.met(p)
	}
	m.follow(p, msg)
	m.takeFacts(msg, p, true)
	m.progress(msg.answering)
	m.takeRows(p, msg)
	if msg.beat != nil {
		m.takeBeat(p, msg)
	}
	m.takeSnap(p, msg)
	m.acknowledge(p, msg.acks)
	m.takeQuestions(p, msg)
	m.takeTalk(p, msg)
	if msg.bye {
		m.commands.ended(p.inc)
		m.end(p)
	}
}

// met does what follows from a peer's first message.
func (m *Machine) met(p *peer) {
	for _, old := range m.nodes.predecessors(p) {
		if isRenewed(old.inc, p.inc) {
			m.commands.renewed(old.inc, p.inc)
			m.talk.renewed(old.inc, p.inc)
			m.die(old)
		} else if !old.followed {
			old.followed, old.followedAt = true, m.nodes.judged
		}
	}
	p.askWait = m.cfg.Heartbeat
	// It may know nobody yet.
	m.beatSoon(jitter(m.cfg.Heartbeat/10, m.cfg.Rand()))
}

// follow takes note of a peer's message, and of whether one before it was missed.
func (m *Machine) follow(p *peer, msg *message) {
	if msg.seq != p.seq+1 {
		m.missed(p)
	} else if p.seq == 0 {
		p.inStep = true // it begins, and has said nothing yet
	}
	p.seq = msg.seq
	p.heard, p.judged, p.followed = m.now.Mono, m.nodes.judged, false
	p.clock.sample(m.now.Mono, msg.at, msg.steps)
	trusted := p.clock.trusted(m.now)
	if trusted && !p.trusted {
		m.prove(p)
	}
	p.trusted = trusted
	if trusted && m.now.Mono-p.clock.made(m.now.Mono, msg.at) >= m.cfg.Grace {
		m.speaker.stepped = -1 // who came back in time seems not to have been gone
	}
}

// missed takes note that something of what a peer has said may not have come.
func (m *Machine) missed(p *peer) {
	p.inStep = false
	p.gapAt = m.now.Mono
	m.abandon(p)
}

// takeRows takes the changes of a peer's rows.
func (m *Machine) takeRows(p *peer, msg *message) {
	refused := false
	for i := range msg.rows {
		if !m.presence.set(m.now, p.src, msg.rows[i], cause{p.inc, msg.seq}) {
			refused = true
		}
	}
	if refused {
		m.refuse("too_many_rows")
		p.inStep = false
	}
}

// takeBeat takes what a peer says of itself.
func (m *Machine) takeBeat(p *peer, msg *message) {
	p.beat = msg.beat
	m.compareFacts(p)
	m.compareRows(p)
	if p.beat.speaks {
		m.speaker.contested = m.speaker.contested || m.speaker.self
		if one := m.nodes.peers[m.speaker.inc]; one == nil || !one.speaks() || p.inc <= one.inc {
			m.speaker.former(p.inc, p.clock.made(m.now.Mono, msg.at), p.beat.unspoken, m.self.echoSeq)
		}
	}
}

// takeQuestions takes what a peer asks, and what it says that it has answered.
func (m *Machine) takeQuestions(p *peer, msg *message) {
	if slices.Contains(msg.sync, m.cfg.Incarnation) {
		m.snaps.wanted = true
	}
	if msg.buckets != nil {
		m.asked(p, msg.buckets)
	}
	if slices.Contains(msg.answered, m.cfg.Incarnation) {
		m.answered(p)
	}
}

// end takes note that a peer is not alive any more.
func (m *Machine) end(p *peer) {
	m.presence.drop(m.now, p.src, cause{p.inc, p.seq})
	m.nodes.remove(p)
}

// die declares a peer dead.
func (m *Machine) die(p *peer) {
	m.stats.Deaths++
	m.end(p)
}

// Gap says that messages may be missing between those before and after it.
func (m *Machine) Gap(now Now) {
	m.enter(now)
	for _, p := range m.nodes.list {
		m.missed(p)
		p.differs = max(p.differs, 1)
	}
}
