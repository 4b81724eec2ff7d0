package control

// An Effect is something that a node has to do to its sessions.
type Effect struct {
	// Key.Kind says what to do. Disconnect and DisconnectSession: close with Value.
	// Rebalance: ask sessions to go, if Key.Name is the incarnation of this node. All
	// others: look at the sessions of the user, or with RevokeToken of the token, again:
	// whether Check lets them in, and Rooms.
	Key   Key
	Value Value
	ID    string // of the command that the fact comes from, for logs
}

// effects are what has to be done, once for each key: what comes later replaces what was
// not done yet, so there are never more than facts.
type effects struct {
	list []Effect
	at   map[Key]int
}

func (e *effects) add(f *fact) {
	if e.at == nil {
		e.at = make(map[Key]int)
	}
	effect := Effect{Key: f.key, Value: f.value, ID: f.ver.id()}
	if i, again := e.at[f.key]; again {
		e.list[i] = effect
		return
	}
	e.at[f.key] = len(e.list)
	e.list = append(e.list, effect)
}

// Effects returns what the node has to do because of what was received or put, in order,
// and forgets it. They are done before the next Flush, which tells other nodes that they
// are done.
func (m *Machine) Effects() []Effect {
	list := m.effects.list
	m.effects = effects{}
	return list
}

// effect adds what follows from a change of a fact.
func (m *Machine) effect(f *fact, held bool) {
	holds := f.holds(m.now.Mono)
	closes := f.key.Kind == Disconnect || f.key.Kind == DisconnectSession
	if holds || held && !closes {
		m.effects.add(f)
	}
}
