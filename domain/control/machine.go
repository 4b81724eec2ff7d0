package control

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Machine is a node's part in the control plane. It is not safe for concurrent use.
type Machine struct {
	cfg      Config
	now      Now // of the last call that had one
	self     self
	facts    *facts
	version  hybrid
	nodes    *nodes
	presence *presence
	commands *commands
	effects  effects
	ready    readiness
	exchange exchange
	snaps    snapshots
	out      outgoing
	speaker  speaker
	talk     talk
	stats    Stats
}

// self is how this node itself is.
type self struct {
	seq    uint64
	steps  uint32 // how often its wall clock has stepped
	base   int64  // Wall − Mono in the last call, in ms
	status Status
	busUp  bool

	echoed   bool          // a message of its own has come back
	echo     time.Duration // when the last one did, on Now.Mono
	echoedAt time.Duration // when the first one did
	echoSeq  uint64        // the greatest number of those
	tick     time.Duration // the last Tick

	renewals int           // how often it has taken another incarnation
	renewed  time.Duration // when it last did

	beatAt  time.Duration // when the next heartbeat is due
	leaving bool
	left    bool // the bye is on the bus
}

// stepSize is by how much a wall clock has to be off what Now.Mono lets expect so that
// it has stepped. Clocks that are only adjusted differ by less between two calls.
const stepSize = 250 // ms

// New returns a Machine that has heard nothing.
func New(cfg Config, now Now) *Machine {
	cfg = cfg.withDefaults()
	m := &Machine{
		cfg: cfg, now: now,
		facts: newFacts(cfg.Facts), nodes: newNodes(cfg.Nodes), commands: newCommands(),
	}
	m.presence = newPresence(&m.cfg)
	m.self = self{base: now.Wall - now.Mono.Milliseconds(), busUp: true, beatAt: now.Mono, tick: now.Mono}
	m.exchange.wait = cfg.Heartbeat
	m.exchange.came, m.exchange.queued = now.Mono-aloneAfter, now.Mono-answerEvery
	m.stats.Refused = make(map[string]uint64)
	return m
}

// enter takes note of the time.
func (m *Machine) enter(now Now) Now {
	now.Mono = max(now.Mono, m.now.Mono)
	base := now.Wall - now.Mono.Milliseconds()
	if abs(base-m.self.base) > stepSize {
		m.self.steps++
		m.beatSoon(0)
	}
	m.self.base = base
	m.now = now
	return now
}

// beatSoon makes the next heartbeat due within a time.
func (m *Machine) beatSoon(within time.Duration) {
	m.self.beatAt = min(m.self.beatAt, m.now.Mono+within)
}

// SetBusUp says whether the bus can be reached. While it cannot, nobody is declared
// dead.
func (m *Machine) SetBusUp(now Now, up bool) {
	m.enter(now)
	if up && !m.self.busUp {
		m.beatSoon(0)
	}
	m.self.busUp = up
}

// SetStatus sets what the heartbeat says of the node. A node that begins to drain says
// so at once.
func (m *Machine) SetStatus(now Now, s Status) {
	m.enter(now)
	if s.Draining && !m.self.status.Draining {
		m.beatSoon(0)
	}
	m.self.status = s
}

// Leave makes the next message the last one: it says that the node has ended.
func (m *Machine) Leave(now Now) {
	m.enter(now)
	m.self.leaving = true
}

// Attach changes the number of this node's sessions that a user has in a place by delta.
// It does nothing for a system without presence.
func (m *Machine) Attach(now Now, p Place, user string, delta int) {
	m.presence.add(m.enter(now), p, user, delta, cause{m.cfg.Incarnation, m.self.seq + 1})
}

// Check returns a [*Refusal] if a user or a token is not to be let in. jti may be "", and
// issued is zero if the token does not say it: such a token was issued before any time.
func (m *Machine) Check(user, jti string, issued time.Time) error {
	if r := m.facts.refusal(m.now.Mono, user, jti, issued); r != nil {
		return r
	}
	return nil
}

// Fact returns what a key is known to be, if that is true now.
func (m *Machine) Fact(k Key) (Fact, bool) {
	f := m.facts.byKey[k]
	if !f.holds(m.now.Mono) {
		return Fact{}, false
	}
	return f.public(m.now.Mono), true
}

// Rooms returns the rooms of a system that a user is a member of, sorted.
func (m *Machine) Rooms(user string, system domain.System) []string {
	return m.facts.roomsOf(m.now.Mono, user, system)
}

// Members returns users that are members of a room, sorted, after a name, at most limit,
// and how long each of them still is.
func (m *Machine) Members(system domain.System, room, after string, limit int) []Fact {
	return m.facts.membersOf(m.now.Mono, system, room, after, limit)
}

// Incarnation returns that of this node. It may change: others may have spoken in its name.
func (m *Machine) Incarnation() string { return m.cfg.Incarnation }

// FactCount returns how many facts there are, those that are remembered because they
// were deleted included.
func (m *Machine) FactCount() int { return len(m.facts.all) }

// Stats returns what was counted.
func (m *Machine) Stats() Stats {
	s := m.stats
	s.Refused = make(map[string]uint64, len(m.stats.Refused))
	for reason, n := range m.stats.Refused {
		s.Refused[reason] = n
	}
	s.Facts = len(m.facts.all)
	s.Rows, s.Users = m.presence.counts()
	s.Nodes = len(m.nodes.list) + 1
	return s
}

// Stats are counts since New, and numbers as they are now.
type Stats struct {
	Received, Sent   uint64            // messages
	Refused          map[string]uint64 // messages of which something was not believed, by reason
	Syncs, Snapshots uint64            // asked for, and sent
	Questions        uint64            // that this node has asked all others
	Answers          uint64            // to questions of others
	Deaths           uint64            // nodes that were declared dead
	Facts, Rows      int
	Users            int // present, in all places together
	Nodes            int // live, with this one
}

// refuse counts what was not believed.
func (m *Machine) refuse(reason string) { m.stats.Refused[reason]++ }
