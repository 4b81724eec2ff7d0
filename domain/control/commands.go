package control

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// An Outcome is what became of a command.
type Outcome struct {
	ID      string   `json:"id"`
	Applied []string `json:"applied"` // names of nodes, sorted
	Pending []string `json:"pending"` // names of live nodes that have not said that they applied it, sorted
}

const (
	// maxCommands is how many commands are remembered at a time.
	maxCommands = 10_000
	// commandMemory is how long the outcome of a command is remembered that nobody has
	// asked to forget.
	commandMemory = 5 * time.Minute
	// repeatLossy and repeatLog are how long a command waits for a node before it is
	// published again. A log repeats what a node has missed, but not what it passed over
	// while it was out of step with it.
	repeatLossy = 500 * time.Millisecond
	repeatLog   = 2500 * time.Millisecond
)

// A command is a Put or Delete whose outcome somebody may ask for.
type command struct {
	id      string
	key     Key
	ver     version
	made    time.Duration
	await   bool
	saved   bool
	said    time.Duration     // when it was last published with a request to acknowledge it
	asked   map[string]string // names of the incarnations that were alive when it was made
	applied map[string]bool   // incarnations that have applied it
}

// commands are those that are remembered.
type commands struct {
	byID  map[string]*command
	byKey map[Key][]*command // oldest first
	list  []*command         // oldest first
	acks  []string           // ids of others' commands that this node has applied and not said so
	owed  map[string]bool    // those
}

func newCommands() *commands {
	return &commands{byID: make(map[string]*command), byKey: make(map[Key][]*command), owed: make(map[string]bool)}
}

func (c *commands) add(cmd *command) {
	c.byID[cmd.id] = cmd
	c.list = append(c.list, cmd)
	c.byKey[cmd.key] = append(c.byKey[cmd.key], cmd)
}

func (c *commands) remove(id string) {
	cmd := c.byID[id]
	if cmd == nil {
		return
	}
	delete(c.byID, id)
	c.list = without(c.list, cmd)
	if list := without(c.byKey[cmd.key], cmd); len(list) > 0 {
		c.byKey[cmd.key] = list
	} else {
		delete(c.byKey, cmd.key)
	}
}

func without(list []*command, cmd *command) []*command {
	if i := slices.Index(list, cmd); i >= 0 { // mostly the first: the oldest is forgotten first
		return slices.Delete(list, i, i+1)
	}
	return list
}

// pending reports whether a node has still to acknowledge a command.
func (cmd *command) pending(n *nodes) bool {
	for inc := range cmd.asked {
		if n.peers[inc] != nil && !cmd.applied[inc] {
			return true
		}
	}
	return false
}

// ended takes note that a node has ended: it has nothing more to apply.
func (c *commands) ended(inc string) {
	for _, cmd := range c.list {
		if !cmd.applied[inc] {
			delete(cmd.asked, inc)
		}
	}
}

// Put makes a fact true on all nodes, for ttl. It is true here at once. The outcome of a
// Put is remembered for some minutes, or until [Machine.Forget]; that of one with await
// says which nodes have applied it, see [Machine.Outcome]. The error wraps
// [domain.ErrInvalid], or [domain.ErrLimit] if there are too many facts, or too many
// commands.
func (m *Machine) Put(now Now, k Key, v Value, ttl time.Duration, await bool) (id string, err error) {
	if err := v.check(); err != nil {
		return "", err
	}
	if ttl <= 0 || ttl > MaxTTL {
		return "", fault("ttl", "a fact is true for more than nothing, and at most %v", MaxTTL)
	}
	now = m.enter(now)
	end := now.Mono + ttl
	return m.command(claim{key: k, value: v.of(k.Kind), end: end, keep: end + linger}, await)
}

// Delete makes a fact untrue on all nodes. That it was not true is no error. Its outcome
// is as that of a [Machine.Put].
func (m *Machine) Delete(now Now, k Key, await bool) (id string, err error) {
	now = m.enter(now)
	keep := now.Mono + unknownTombstone
	if f := m.facts.byKey[k]; f != nil && f.keep > now.Mono {
		keep = f.keep
	}
	return m.command(claim{key: k, keep: keep, del: true}, await)
}

// command makes a claim true here, and has it published.
func (m *Machine) command(c claim, await bool) (id string, err error) {
	if err := c.key.check(); err != nil {
		return "", err
	}
	if len(m.commands.byID) >= maxCommands {
		return "", fmt.Errorf("control: more than %d commands at a time: %w", maxCommands, domain.ErrLimit)
	}
	before := m.version
	c.ver = m.version.next(m.now.Wall, m.cfg.Incarnation)
	c.origin = origin{inc: m.cfg.Incarnation, proven: true}
	f, held, result := m.merge(c)
	if result == full {
		m.version = before
		return "", fmt.Errorf("control: there are %d facts: %w", m.cfg.Facts, domain.ErrLimit)
	}
	f.said, f.jitter = m.now.Mono, m.cfg.Rand()
	m.facts.push(f, inUrgent)
	m.effect(f, held)
	cmd := &command{
		id: c.ver.id(), key: c.key, ver: c.ver, made: m.now.Mono, await: await, said: m.now.Mono,
		applied: map[string]bool{m.cfg.Incarnation: true},
	}
	if await {
		cmd.asked = make(map[string]string, len(m.nodes.list))
		for _, p := range m.nodes.list {
			cmd.asked[p.inc] = p.name
		}
	}
	m.commands.add(cmd)
	return cmd.id, nil
}

// Outcome says which live nodes have applied a Put or Delete. It is complete when none
// is pending and the fact is on the bus. A node that became alive after the command is
// not pending: it knows all facts before it lets anybody in. One that is silent since stays
// pending, even if it was declared dead: it may only stand still.
func (m *Machine) Outcome(id string) (o Outcome, complete bool) {
	o = Outcome{ID: id, Applied: []string{}, Pending: []string{}}
	cmd := m.commands.byID[id]
	if cmd == nil {
		return o, false
	}
	applied, pending := map[string]bool{m.cfg.Node: true}, map[string]bool{}
	for inc, name := range cmd.asked {
		if cmd.applied[inc] {
			applied[name] = true
		} else {
			pending[name] = true
		}
	}
	for _, p := range m.nodes.list {
		if cmd.applied[p.inc] {
			applied[p.name] = true
		}
	}
	maps.DeleteFunc(applied, func(name string, _ bool) bool { return pending[name] })
	o.Applied = slices.AppendSeq(o.Applied, maps.Keys(applied))
	o.Pending = slices.AppendSeq(o.Pending, maps.Keys(pending))
	slices.Sort(o.Applied)
	slices.Sort(o.Pending)
	return o, len(pending) == 0 && cmd.saved
}

// Forget ends that the outcome is watched.
func (m *Machine) Forget(id string) { m.commands.remove(id) }

// Saved reports whether the bus has taken the fact of a Put or Delete.
func (m *Machine) Saved(id string) bool {
	cmd := m.commands.byID[id]
	return cmd != nil && cmd.saved
}

// saved takes note that the bus has a version of a key, and so all commands that it
// includes.
func (m *Machine) saved(k Key, ver version) {
	for _, cmd := range m.commands.byKey[k] {
		if cmd.ver.compare(ver) <= 0 {
			cmd.saved = true
		}
	}
}

// wants returns the ids of commands on a fact that nodes have still to acknowledge.
func (m *Machine) wants(f *fact) (ids []string) {
	for _, cmd := range m.commands.byKey[f.key] {
		if len(ids) < maxWant && cmd.await && cmd.ver.compare(f.ver) <= 0 && cmd.pending(m.nodes) {
			cmd.said = m.now.Mono
			ids = append(ids, cmd.id)
		}
	}
	return ids
}

// acknowledge takes note of what another node has applied.
func (m *Machine) acknowledge(p *peer, ids []string) {
	for _, id := range ids {
		if cmd := m.commands.byID[id]; cmd != nil && cmd.await {
			cmd.applied[p.inc] = true
		}
	}
}

// owe takes note of commands that this node has to acknowledge.
func (m *Machine) owe(ids []string) {
	for _, id := range ids {
		if len(m.commands.acks) >= maxCommands {
			m.refuse("too_many_acks")
			return
		}
		if !m.commands.owed[id] {
			m.commands.owed[id] = true
			m.commands.acks = append(m.commands.acks, id)
		}
	}
}

// repeat publishes commands again that nodes have not acknowledged, and forgets those
// that nobody asks for any more.
func (m *Machine) repeat() {
	every := repeatLossy
	if m.cfg.Log {
		every = repeatLog
	}
	for len(m.commands.list) > 0 && m.now.Mono-m.commands.list[0].made >= commandMemory {
		m.commands.remove(m.commands.list[0].id)
	}
	for _, cmd := range m.commands.list {
		if !cmd.await || !cmd.saved || m.now.Mono-cmd.said < every || !cmd.pending(m.nodes) {
			continue
		}
		if f := m.facts.byKey[cmd.key]; f != nil {
			m.facts.push(f, inUrgent)
		}
	}
}
