package control

import (
	"cmp"
	"math/rand/v2"
	"strings"
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
	DefaultMarks     = 100_000
	DefaultMessage   = 48 << 10
)

// Config says how a [Machine] is. Node is required.
type Config struct {
	Node        string // this node's name, unique among the nodes
	Incarnation string // a ULID, new for each run of the node; others may see it with an addition
	Version     string // of the program, for [NodeInfo]

	// Presence says whether rows are kept for a system; nil: for none.
	Presence func(domain.System) bool
	// Events says whether events are made for a system with presence; nil: for none.
	Events func(domain.System) bool

	// Webhooks stands for the webhooks that this node posts to: a hash of their names,
	// the same on all nodes that have the same ones; 0: none. See [Machine.Posts].
	Webhooks uint64

	Heartbeat time.Duration // how often the node says how it is; default DefaultHeartbeat
	DeadAfter time.Duration // how long a node may be silent; default DefaultDeadAfter
	Grace     time.Duration // how long a user without sessions is still present; default DefaultGrace
	Refresh   time.Duration // how often each fact is published again; default DefaultRefresh

	Facts   int // most facts; default DefaultFacts
	Rows    int // most rows of all other nodes together; default DefaultRows
	Nodes   int // most other nodes; default DefaultNodes
	Marks   int // most marks of sessions, of all nodes together; default DefaultMarks
	Message int // most bytes of one message; default DefaultMessage

	// Log says that the bus keeps what it carried. A node on a bus that does not asks
	// the others for their facts when it starts, and repeats what was not acknowledged.
	Log bool

	// Rand returns a number in [0, 1), for jitter. Default: math/rand/v2.
	Rand func() float64
}

// minMessage is the smallest bound of a message: a beat and a question for facts have to
// fit, and some rows.
const minMessage = 20 << 10

func (c Config) withDefaults() Config {
	c.Heartbeat = cmp.Or(c.Heartbeat, DefaultHeartbeat)
	c.DeadAfter = max(cmp.Or(c.DeadAfter, DefaultDeadAfter), 2*c.Heartbeat)
	c.Grace = cmp.Or(c.Grace, DefaultGrace)
	c.Refresh = cmp.Or(c.Refresh, DefaultRefresh)
	c.Facts = cmp.Or(c.Facts, DefaultFacts)
	c.Rows = cmp.Or(c.Rows, DefaultRows)
	c.Nodes = cmp.Or(c.Nodes, DefaultNodes)
	c.Marks = cmp.Or(c.Marks, DefaultMarks)
	c.Message = max(cmp.Or(c.Message, DefaultMessage), minMessage)
	c.Version = strings.ToValidUTF8(c.Version[:min(len(c.Version), maxLabel)], "")
	if c.Presence == nil {
		c.Presence = func(domain.System) bool { return false }
	}
	if c.Events == nil {
		c.Events = func(domain.System) bool { return false }
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return c
}
