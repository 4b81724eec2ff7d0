package control

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Now is a moment, as a node's clocks show it.
type Now struct {
	// Mono is the time since some beginning. It never goes back, and no correction of
	// the wall clock shows in it. Everything that a Machine waits for is measured by it.
	Mono time.Duration
	// Wall is the wall clock, in milliseconds since 1970. It may step.
	Wall int64
}

// What a [Config] has where nothing else is said.
const (
	DefaultHeartbeat = 5 * time.Second
	DefaultDeadAfter = 15 * time.Second
	DefaultGrace     = 3 * time.Second
	DefaultRefresh   = 5 * time.Minute
	DefaultFacts     = 100_000
	DefaultRows      = 5_000_000
	DefaultNodes     = 1000
	DefaultMessage   = 48 << 10
)

// Config says how a [Machine] is. Node is required.
type Config struct {
	Node        string // this node's name, unique among the nodes
	Incarnation string // a ULID, new for each run of the node
	Version     string // of the program, for [NodeInfo]

	// Presence says whether rows are kept for a system; nil: for none.
	Presence func(domain.System) bool
	// Events says whether events are made for a system with presence; nil: for none.
	Events func(domain.System) bool

	Heartbeat time.Duration // how often the node says how it is; default DefaultHeartbeat
	DeadAfter time.Duration // how long a node may be silent; default DefaultDeadAfter
	Grace     time.Duration // how long a user without sessions is still present; default DefaultGrace
	Refresh   time.Duration // how often each fact is published again; default DefaultRefresh

	Facts   int // most facts; default DefaultFacts
	Rows    int // most rows of all other nodes together; default DefaultRows
	Nodes   int // most other nodes; default DefaultNodes
	Message int // most bytes of one message; default DefaultMessage

	// Log says that the bus keeps what it carried. A node on a bus that does not asks
	// the others for their facts when it starts, and repeats what was not acknowledged.
	Log bool

	// Rand returns a number in [0, 1), for jitter. Default: math/rand/v2.
	Rand func() float64
}

// A Machine is a node's part in the control plane. It is not safe for concurrent use.
type Machine struct {
	cfg Config
}

// New returns a Machine that has heard nothing.
func New(cfg Config, now Now) *Machine { return &Machine{cfg: cfg} }

// Receive takes what one entry of the control topic holds; payload is not kept. The
// node's own messages come here, too: that they come back proves that the bus works.
// Backlog says that the entry was in the log before the node had begun to read: of such
// entries only facts count. Input that is malformed, forged or old changes nothing that
// it should not, and is counted; the error says why, for the log.
func (m *Machine) Receive(now Now, payload []byte, backlog bool) error { return nil }

// Subscribed says that the control topic is read from now on, and that everything which
// the log held is in Receive's past.
func (m *Machine) Subscribed(now Now) {}

// Gap says that messages may be missing between those before and after it.
func (m *Machine) Gap(now Now) {}

// SetBusUp says whether the bus can be reached. While it cannot, nobody is declared
// dead.
func (m *Machine) SetBusUp(now Now, up bool) {}

// Tick does what is due with time. It is called about every 100 ms.
func (m *Machine) Tick(now Now) {}

// Flush returns the next message for the control topic, at most Config.Message bytes, or
// nil if there is nothing to say. The next call comes when this message was published
// ([Machine.Published]), and at least 100 ms later, so everything that gathers meanwhile
// is in one message.
func (m *Machine) Flush(now Now) []byte { return nil }

// Published says what became of the message that Flush returned last. What was not
// taken, or of which that is unknown, is said again.
func (m *Machine) Published(now Now, ok bool) {}

// Ready reports whether the node knows the facts: it has read the log, or has them from a
// live node, or knows that it is alone.
func (m *Machine) Ready() bool { return false }

// SetStatus sets what the heartbeat says of the node. A node that begins to drain says
// so at once.
func (m *Machine) SetStatus(now Now, s Status) {}

// Leave makes the next message the last one: it says that the node has ended.
func (m *Machine) Leave(now Now) {}

// Put makes a fact true on all nodes, for ttl. It is true here at once. The outcome of a
// Put with await is watched, see [Machine.Outcome]. The error wraps [domain.ErrInvalid],
// or [domain.ErrLimit] if there are too many facts, or too many that are awaited.
func (m *Machine) Put(now Now, k Key, v Value, ttl time.Duration, await bool) (id string, err error) {
	return "", nil
}

// Delete makes a fact untrue on all nodes. That it was not true is no error.
func (m *Machine) Delete(now Now, k Key, await bool) (id string, err error) { return "", nil }

// Outcome says which live nodes have applied a Put or Delete. It is complete when none
// is pending and the fact is on the bus.
func (m *Machine) Outcome(id string) (o Outcome, complete bool) { return o, false }

// Forget ends that the outcome is watched.
func (m *Machine) Forget(id string) {}

// Saved reports whether the bus has taken the fact of a Put or Delete.
func (m *Machine) Saved(id string) bool { return false }

// An Outcome is what became of a command.
type Outcome struct {
	ID      string   `json:"id"`
	Applied []string `json:"applied"` // names of nodes, sorted
	Pending []string `json:"pending"` // names of live nodes that have not said that they applied it, sorted
}

// Check returns a [*Refusal] if a user or a token is not to be let in. jti may be "", and
// issued is zero if the token does not say it: such a token was issued before any time.
func (m *Machine) Check(user, jti string, issued time.Time) error { return nil }

// Rooms returns the rooms of a system that a user is a member of, sorted.
func (m *Machine) Rooms(user string, system domain.System) []string { return nil }

// Members returns users that are members of a room, sorted, after a name, at most limit,
// and how long each of them still is.
func (m *Machine) Members(system domain.System, room, after string, limit int) []Fact { return nil }

// FactCount returns how many facts there are.
func (m *Machine) FactCount() int { return 0 }

// Effects returns what the node has to do because of what was received or put, in order,
// and forgets it. They are done before the next Flush, which tells other nodes that they
// are done.
func (m *Machine) Effects() []Effect { return nil }

// An Effect is something that a node has to do to its sessions.
type Effect struct {
	// Key.Kind says what to do. Disconnect and DisconnectSession: close with Value. All
	// others: look at the sessions of the user, or with RevokeToken of the token, again:
	// whether Check lets them in, and Rooms.
	Key   Key
	Value Value
}

// Attach changes the number of this node's sessions that a user has in a place by delta.
// It does nothing for a system without presence.
func (m *Machine) Attach(now Now, p Place, user string, delta int) {}

// Stats returns what was counted.
func (m *Machine) Stats() Stats { return Stats{} }

// Stats are counts since New, and numbers as they are now.
type Stats struct {
	Received, Sent   uint64            // messages
	Refused          map[string]uint64 // messages of which something was not believed, by reason
	Syncs, Snapshots uint64            // asked for, and sent
	Deaths           uint64            // nodes that were declared dead
	Facts, Rows      int
	Users            int // present, in all places together
	Nodes            int // live, with this one
}
