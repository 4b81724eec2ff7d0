package control

import "time"

// Bounds of how a node judges time.
const (
	// maxJudged is the most that one Tick counts: a process that was stopped has not
	// listened meanwhile.
	maxJudged = time.Second
	// refreshPass is in which part of Config.Refresh all facts are looked at once.
	refreshPass = 10
)

// Tick does what is due with time. It is called about every 100 ms.
func (m *Machine) Tick(now Now) {
	now = m.enter(now)
	passed := now.Mono - m.self.tick
	m.self.tick = now.Mono
	if m.hearing() {
		m.nodes.judged += min(passed, maxJudged)
	}
	if passed >= m.cfg.DeadAfter {
		m.wake()
	}
	for _, p := range m.nodes.silent(m.cfg.DeadAfter, m.cfg.Heartbeat*3/2) {
		m.die(p)
	}
	m.facts.expire(now.Mono, m.ended)
	m.refresh(passed)
	m.repeat()
	m.repeatAsks()
	m.getReady()
	m.presence.tick(now)
	m.elect()
	m.presence.journal.heard = m.speaker.lastHeard()
}

// ended does what follows from a fact being true no more because its time is over.
func (m *Machine) ended(f *fact) {
	if f.key.Kind == Membership {
		m.effects.add(f)
	}
}

// merge takes a claim into the facts. A fact that has just ended does so first: what is
// said of it later must not hide that.
func (m *Machine) merge(c claim) (f *fact, held bool, result merged) {
	if f := m.facts.byKey[c.key]; f != nil && f.due() <= m.now.Mono {
		m.facts.settle(m.now.Mono, f, m.ended)
	}
	return m.facts.merge(m.now.Mono, c)
}

// wake does what is due after the process was stopped: others took it for dead, went on
// and may have said what did not come.
func (m *Machine) wake() {
	m.speaker.synced = false
	for _, p := range m.nodes.list {
		m.missed(p)
	}
	m.beatSoon(0)
}

// hearing reports whether this node would hear others: the bus is up, and what it said
// itself has come back lately. A node that does not hear itself judges nobody.
func (m *Machine) hearing() bool {
	return m.self.busUp && m.self.echoed && m.now.Mono-m.self.echo <= m.cfg.Heartbeat*3/2
}

// refresh has facts published that nobody has published for long. It looks at some of
// them in each call.
func (m *Machine) refresh(passed time.Duration) {
	t := m.facts
	every := m.cfg.Refresh / refreshPass
	look := min(1+int(float64(len(t.all))*min(1, float64(passed)/float64(every))), len(t.all))
	for range look {
		t.scan++
		if t.scan >= len(t.all) {
			t.scan = 0
		}
		f := t.all[t.scan]
		if m.now.Mono-f.said >= jitter(m.cfg.Refresh, 0.8+0.4*f.jitter) {
			t.push(f, inBulk)
		}
	}
}

// jitter returns a part of a time.
func jitter(d time.Duration, part float64) time.Duration { return time.Duration(float64(d) * part) }
