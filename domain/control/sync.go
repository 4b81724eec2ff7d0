package control

import (
	"time"
)

// exchange is what a node asks others for, and answers, because digests differ.
type exchange struct {
	sync []string // incarnations whose rows are asked for, not said yet

	ask     *string // the incarnation whose facts are asked for, not said yet; nil: none
	next    time.Duration
	wait    time.Duration // before a peer is asked for facts again
	prove   time.Duration // when a peer may be asked for ends again, on Now.Mono
	proving time.Duration // how long after that the next one is
	came    time.Duration // when facts came last that this node had asked for, on Now.Mono

	answers map[string]bool    // incarnations whose question is being answered
	due     *[bucketCount]bool // the buckets that they asked for, not in the queue yet; nil: none
	queued  time.Duration      // when buckets were put into the queue last, on Now.Mono
}

// snapshots is what a node says of its own rows as a whole.
type snapshots struct {
	wanted  bool
	running bool
	id      uint64
	part    int
	began   time.Duration
}

// saying reports whether there are rows to be said for a snapshot.
func (s *snapshots) saying() bool { return s.running || s.wanted }

// Bounds of how often is asked and answered.
const (
	snapshotEvery = time.Second // askers of one second share a snapshot
	// answerEvery is how often the facts are looked through for an answer: there may be
	// many, and whoever can write to the bus can ask as often as they like.
	answerEvery = 500 * time.Millisecond
	maxWait     = 12 // heartbeats before a peer is asked again, when asking was in vain
)

// compareRows compares the replica of a peer's rows with what its beat says of them.
func (m *Machine) compareRows(p *peer) {
	n, sum := m.presence.digest(p.src)
	if (digest{n, sum}) == p.beat.rows {
		p.inStep = true
		p.askWait = m.cfg.Heartbeat
		m.abandon(p)
		return
	}
	p.inStep = false
	if p.snapID != 0 || m.now.Mono < p.askAt {
		return
	}
	p.askAt = m.now.Mono + p.askWait
	p.askWait = min(2*p.askWait, maxWait*m.cfg.Heartbeat)
	m.stats.Syncs++
	if len(m.exchange.sync) < maxIDs {
		m.exchange.sync = append(m.exchange.sync, p.inc)
	}
}

// abandon ends that a snapshot of a peer's rows is received.
func (m *Machine) abandon(p *peer) {
	if p.snapID != 0 {
		m.presence.endSnapshot(m.now, p.src, -1, 0, cause{p.inc, p.seq}) // no rows have this digest
		p.snapID = 0
	}
}

// takeSnap takes a part of a snapshot.
func (m *Machine) takeSnap(p *peer, msg *message) {
	s := msg.snap
	if s == nil || p.inStep {
		return
	}
	switch {
	case s.part == 1:
		m.abandon(p)
		m.presence.beginSnapshot(p.src)
		p.snapID = s.id
	case s.id != p.snapID || s.part != p.part+1:
		return
	}
	p.part = s.part
	for i := range s.rows {
		if !m.presence.stage(p.src, s.rows[i]) {
			m.refuse("too_many_rows")
			m.abandon(p)
			return
		}
	}
	if !s.last {
		return
	}
	p.snapID = 0
	n, sum := -1, uint64(0)
	if msg.beat != nil {
		n, sum = msg.beat.rows.n, msg.beat.rows.sum
	}
	if m.presence.endSnapshot(m.now, p.src, n, sum, cause{p.inc, msg.seq}) {
		p.inStep = true
		p.askWait = m.cfg.Heartbeat
	}
}

// compareFacts asks a peer for its facts if its digest has differed from this node's in
// two beats in a row.
func (m *Machine) compareFacts(p *peer) {
	if p.beat.facts == m.facts.digest {
		p.differs = 0
		m.exchange.wait = m.cfg.Heartbeat
		if m.ready.asking && p.beat.ready {
			m.becomeReady()
		}
		m.askEnds(p)
		return
	}
	if m.receives() || m.exchange.answers[p.inc] { // so they have to differ
		p.differs = 0
		return
	}
	if p.differs++; p.differs < 2 || m.now.Mono < m.exchange.next || m.exchange.ask != nil {
		return
	}
	m.exchange.next = m.now.Mono + m.exchange.wait
	m.exchange.wait = min(2*m.exchange.wait, maxWait*m.cfg.Heartbeat)
	m.exchange.ask = &p.inc
	for _, other := range m.nodes.list {
		other.differs = 0
	}
}

// asked answers a question for facts, if it is for this node.
func (m *Machine) asked(p *peer, q *buckets) {
	if q.to != m.cfg.Incarnation && q.to != "" || !m.mayAnswer(p, q.to == "") {
		return
	}
	x := &m.exchange
	if which, any := m.facts.differing(&q.sums); any {
		if x.due == nil {
			x.due = new([bucketCount]bool)
		}
		for i := range which {
			x.due[i] = x.due[i] || which[i]
		}
	}
	if x.answers == nil {
		x.answers = make(map[string]bool)
	}
	x.answers[p.inc] = true
}

// answer puts the facts that others have asked for into the queue. Those who ask soon after
// one another share an answer.
func (m *Machine) answer() {
	x := &m.exchange
	if x.due == nil || m.now.Mono-x.queued < answerEvery {
		return
	}
	for _, f := range m.facts.all {
		if x.due[f.bucket()] {
			m.facts.push(f, inBulk)
		}
	}
	x.due, x.queued = nil, m.now.Mono
}

// Answering reports whether other nodes wait for facts that this one has still to say. Then
// the next [Machine.Flush] may come sooner.
func (m *Machine) Answering() bool {
	return len(m.exchange.answers) > 0 && m.facts.bulk.first(inBulk) != nil
}

// Receiving reports whether the facts that this node has asked for are coming just now.
func (m *Machine) Receiving(now Now) bool {
	m.enter(now)
	return m.receives()
}

func (m *Machine) receives() bool { return m.now.Mono-m.exchange.came < aloneAfter }

// progress takes note that a peer has said facts that others have asked for. While they
// come, the digest of whoever asked says nothing.
func (m *Machine) progress(asked []string) {
	for _, inc := range asked {
		if p := m.nodes.peers[inc]; p != nil {
			p.differs = 0
		} else if inc == m.cfg.Incarnation {
			m.exchange.came = m.now.Mono
		}
	}
}

// mayAnswer reports whether this node answers what a peer asks it, or asks anyone. A node
// that does not know the facts answers only if nobody does, as when all nodes start at
// once. Of those that may answer, the first one does what anyone was asked.
func (m *Machine) mayAnswer(asker *peer, anyone bool) bool {
	someReady := false
	first := true
	for _, p := range m.nodes.list {
		if p == asker {
			continue
		}
		ready := p.beat != nil && p.beat.ready
		someReady = someReady || ready
		if p.inc < m.cfg.Incarnation && (ready || !m.ready.is) {
			first = false
		}
	}
	if !m.ready.is && (someReady || !m.self.echoed || m.now.Mono-m.self.echoedAt < aloneAfter) {
		return false
	}
	return first || !anyone
}
