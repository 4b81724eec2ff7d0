package control

import (
	"maps"
	"slices"
)

// outgoing is the message that is being published.
type outgoing struct {
	msg     *message // nil: none
	said    []saying
	scratch []byte
}

// A saying is a version of a fact that a message carries.
type saying struct {
	fact  *fact
	ver   version
	level queueLevel
}

const (
	// reserve is the most that a message needs for the fields that each has, and what a
	// transport may add.
	reserve = 3 << 10
	// beatSize is the most that a beat needs.
	beatSize = 8 << 10
)

// Flush returns the next message for the control topic, at most Config.Message bytes, or
// nil if there is nothing to say. The next call comes when this message was published
// ([Machine.Published]), and at least 100 ms later, so everything that gathers meanwhile
// is in one message.
func (m *Machine) Flush(now Now) []byte {
	now = m.enter(now)
	if m.out.msg != nil || m.self.left {
		return nil
	}
	msg := &message{node: m.cfg.Node, inc: m.cfg.Incarnation, seq: m.self.seq + 1, at: now.Wall, steps: m.self.steps}
	left := m.cfg.Message - reserve
	if m.self.leaving || m.snaps.saying() || now.Mono >= m.self.beatAt {
		left -= beatSize
	}
	m.out.said = nil
	if m.self.leaving {
		msg.bye = true
		m.sayFacts(msg, left)
	} else {
		m.sayAll(msg, m.sayIDs(msg, left))
	}
	if msg.bye || msg.snap != nil && msg.snap.last || now.Mono >= m.self.beatAt {
		m.sayBeat(msg)
	} else if msg.empty() {
		return nil
	}
	m.self.seq = msg.seq
	m.out.msg = msg
	return msg.append(nil)
}

// empty reports whether a message says nothing.
func (m *message) empty() bool {
	return m.rows == nil && m.snap == nil && m.facts == nil && m.acks == nil && m.sync == nil &&
		m.buckets == nil && m.answered == nil && m.asks == nil && m.replies == nil
}

// sayAll says what there is besides ids. Somebody waits for questions and answers, so they
// come first. They may be large, so after a message with little room for the rest one
// follows in which they are second.
func (m *Machine) sayAll(msg *message, left int) {
	yields := m.talk.yields
	m.talk.yields = false
	if !yields {
		rest := m.sayTalk(msg, left)
		m.talk.yields = rest < left/2
		left = rest
	}
	left = m.sayFacts(msg, left)
	left = m.sayRows(msg, left)
	if yields {
		half := left / 2
		left -= half - m.sayTalk(msg, half)
	}
	m.saySnap(msg, left)
}

// sayBeat says how the node is. It stands behind the rows, since it has their digest.
func (m *Machine) sayBeat(msg *message) {
	s := &m.self.status
	systems := s.Systems[:min(len(s.Systems), maxSystems)]
	n, sum := m.presence.digest(0)
	msg.beat = &beat{
		version: m.cfg.Version, sessions: s.Sessions, users: s.Users,
		systems: systems, systemsMore: len(s.Systems) - len(systems),
		lag: max(s.Lag.Milliseconds(), 0), draining: s.Draining, ready: m.speaker.synced,
		facts: m.facts.digest, rows: digest{n, sum},
		speaks: m.speaker.claims(m.now.Mono), unspoken: m.presence.unspoken(m.now).Milliseconds(),
		webhooks: m.cfg.Webhooks,
	}
	m.self.beatAt = m.now.Mono + jitter(m.cfg.Heartbeat, 0.9+0.2*m.cfg.Rand())
}

// sayIDs says what has an id: what was applied, and what is asked.
func (m *Machine) sayIDs(msg *message, left int) int {
	msg.acks = takeIDs(&m.commands.acks, &left)
	for _, id := range msg.acks {
		delete(m.commands.owed, id)
	}
	msg.sync = takeIDs(&m.exchange.sync, &left)
	if m.exchange.ask != nil && left > 17*bucketCount {
		msg.buckets = &buckets{to: *m.exchange.ask, sums: m.facts.question()}
		m.exchange.ask = nil
		left -= 17 * bucketCount
	}
	return left
}

// takeIDs takes as many ids off a list as there is space for.
func takeIDs(list *[]string, left *int) (ids []string) {
	for _, id := range *list {
		if size := len(id) + 3; len(ids) == maxIDs || *left < size {
			break
		}
		*left -= len(id) + 3
		ids = append(ids, id)
	}
	*list = (*list)[len(ids):]
	return ids
}

// sayFacts says the facts that have to be said. Those that nobody waits for leave half of
// the space to rows, if there are any to be said. Whoever asked for facts is told whether
// the message has some of them or the last ones.
func (m *Machine) sayFacts(msg *message, left int) int {
	m.answer()
	asked := slices.Sorted(maps.Keys(m.exchange.answers))
	asked = takeIDs(&asked, &left)
	bulk := left
	if m.presence.dirty() || m.snaps.saying() {
		bulk = left / 2
	}
	for f := m.facts.next(); f != nil; f = m.facts.next() {
		it := m.item(f)
		m.out.scratch = it.append(m.out.scratch[:0])
		size := len(m.out.scratch) + 1
		if size > left || f.queued == inBulk && size > bulk {
			msg.answering = asked
			return left
		}
		left, bulk = left-size, bulk-size
		m.out.said = append(m.out.said, saying{f, f.ver, f.queued})
		m.facts.pop(f)
		msg.facts = append(msg.facts, it)
	}
	if m.exchange.due != nil { // others will be said later
		if msg.facts != nil {
			msg.answering = asked
		}
		return left
	}
	msg.answered = asked
	for _, inc := range asked {
		delete(m.exchange.answers, inc)
	}
	return left
}

// item puts a fact into the form that it has on its way.
func (m *Machine) item(f *fact) item {
	wall := func(mono int64) int64 { return max(m.now.Wall+mono-m.now.Mono.Milliseconds(), 1) }
	it := item{key: f.key, value: f.value, ver: f.ver, del: f.del, unproven: !f.origin.proven,
		keep: wall(f.keep.Milliseconds())}
	if it.until = it.keep; !f.del {
		it.until = wall(f.end.Milliseconds())
	}
	it.want = m.wants(f)
	return it
}

// sayRows says which own rows have changed. While a snapshot is being said, half of the
// space is for it.
func (m *Machine) sayRows(msg *message, left int) int {
	if !m.presence.dirty() || left <= 0 {
		return left
	}
	size := left
	if m.snaps.saying() {
		size = left / 2
	}
	msg.rows = m.presence.takeDirty(size)
	m.out.scratch = appendRows(m.out.scratch[:0], "", msg.rows)
	return left - len(m.out.scratch)
}

// saySnap says the next part of all own rows, if somebody has asked for them.
func (m *Machine) saySnap(msg *message, left int) {
	s := &m.snaps
	if s.wanted && !s.running && (s.id == 0 || m.now.Mono-s.began >= snapshotEvery) {
		*s = snapshots{running: true, id: s.id + 1, began: m.now.Mono}
		m.presence.startOwn()
	}
	const least = 4 << 10 // a beat may have to fit, too
	if !s.running || left < least {
		return
	}
	rows, last := m.presence.nextOwn(left)
	s.part++
	msg.snap = &snap{id: s.id, part: s.part, last: last, rows: rows}
	if last {
		s.running = false
		m.stats.Snapshots++
	}
}

// Published says what became of the message that Flush returned last. What was not
// taken, or of which that is unknown, is said again.
func (m *Machine) Published(now Now, ok bool) {
	m.enter(now)
	msg := m.out.msg
	if msg == nil {
		return
	}
	m.out.msg = nil
	if !ok {
		m.again(msg)
		return
	}
	m.stats.Sent++
	m.talked(msg)
	for _, s := range m.out.said {
		m.saved(s.fact.key, s.ver)
		s.fact.said = m.now.Mono
	}
	m.self.left = msg.bye
}

// again has everything said again that a message has said.
func (m *Machine) again(msg *message) {
	m.commands.acks = append(msg.acks, m.commands.acks...)
	for _, id := range msg.acks {
		m.commands.owed[id] = true
	}
	m.exchange.sync = append(msg.sync, m.exchange.sync...)
	if msg.buckets != nil && m.exchange.ask == nil {
		m.exchange.ask = &msg.buckets.to
	}
	for _, inc := range msg.answered {
		m.exchange.answers[inc] = true
	}
	for _, s := range m.out.said {
		m.facts.push(s.fact, s.level)
	}
	m.presence.markDirty(msg.rows)
	m.talkAgain(msg)
	if msg.snap != nil {
		m.snaps.running, m.snaps.wanted = false, true
	}
	m.beatSoon(0) // others have missed a number: its digests tell them whether it matters
}
