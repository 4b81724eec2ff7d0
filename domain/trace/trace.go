// Package trace says what became of a message: where it is, what each node made of it, and
// what each session of a user was given of it. Nodes ask each other for it over the control
// topic, in the JSON of [Question] and [Answer]; a [Report] is what the HTTP API answers.
//
// Nothing of it is recorded when a message comes. It follows from places: a session that was
// attached from one place to another has been offered what is for it between them.
package trace

import "time"

// Kind is the kind of question that nodes ask each other.
const Kind = "trace"

// A State says what a node made of a message.
type State string

// The states of a message on a node.
const (
	Read        State = "read"         // it was put into the node's window, and offered to sessions
	NotYet      State = "not_yet"      // the node has not come to it
	BeforeStart State = "before_start" // the node began to read the system after it
	Poison      State = "poison"       // it could not be decoded
	Duplicate   State = "duplicate"    // it repeats an earlier message, which was delivered instead
	Expired     State = "expired"      // it was past its ttl when the node came to it
	Gap         State = "gap"          // the node lost it, and told its sessions a gap
	Skipped     State = "skipped"      // the node passed it over, and does not know any more why
	Unknown     State = "unknown"      // it is not in the node's window, and cannot be placed
)

// A Fate says what became of a message for one session.
type Fate string

// The fates of a message for a session.
const (
	Acked      Fate = "acked"                // its client has acknowledged it, or began with such a cursor
	Written    Fate = "written"              // it was written to the connection
	Offered    Fate = "offered"              // it is in the session's outbox
	Behind     Fate = "behind"               // it comes when there is room in the outbox again
	Waiting    Fate = "waiting"              // it comes when the session's wait is over
	Lost       Fate = "gap"                  // the session was told a gap instead, for the reason
	Late       Fate = "expired"              // it was past its ttl when the session came to it
	Repeated   Fate = "duplicate"            // as the node's
	Undecoded  Fate = "poison"               // as the node's
	NotRead    Fate = "not_yet"              // as the node's
	NotThere   Fate = "not_attached_then"    // the session was not attached when the message came
	NotInRoom  Fate = "not_in_room"          // the session was not in the message's rooms then
	NotForIt   Fate = "not_addressed"        // the message is for others
	EndedFirst Fate = "ended_before_written" // the session ended before it was written
	Uncertain  Fate = "unknown"              // nobody knows any more
)

// Limits of what is asked and answered at once.
const (
	MaxPlaces   = 16 // places in a question
	MaxSessions = 50 // sessions in an answer for each place, the newest
)

// A Place is where a message is, with what nodes need to say what became of it. To is nil if it
// cannot be decoded, or if the log has it no more.
type Place struct {
	Cursor      string    `json:"cursor,omitempty" doc:"Where it is; on a bus without a log, on the node that answers."`
	LoggedAt    time.Time `json:"logged_at,omitzero" doc:"When the log took it; without a log, when the node read it."`
	To          []string  `json:"to,omitempty" doc:"Its targets. None: it cannot be decoded, or is in no log any more."`
	Type        string    `json:"type,omitempty" doc:"Its type."`
	TTL         int       `json:"ttl,omitempty" doc:"For how long it is worth delivering, in seconds."`
	Bytes       int       `json:"bytes,omitempty" doc:"The size of its data."`
	DuplicateOf string    `json:"duplicate_of,omitempty" doc:"The cursor of the message that it repeats."`
	Poison      bool      `json:"poison,omitempty" doc:"It cannot be decoded."`
	Receipt     bool      `json:"receipt,omitempty" doc:"It wants receipts."`
}

// A Question asks a node what became of the messages with an id.
type Question struct {
	System string  `json:"system"`
	ID     string  `json:"id"`
	User   string  `json:"user,omitempty"` // whose sessions are asked for; "" for none
	Places []Place `json:"places"`
}

// An Answer is what a node knows.
type Answer struct {
	Reads  bool      `json:"reads" doc:"Whether the node reads the system now. If not, it knows nothing of it."`
	Since  time.Time `json:"since,omitzero" doc:"From when on it has read the system, by the log's clock."`
	Places []Seen    `json:"places,omitempty" doc:"What it made of the message, for each of the report's places."`
	Ended  time.Time `json:"ended,omitzero" doc:"It remembers all sessions that ended since then."`
	More   bool      `json:"more,omitempty" doc:"The user has had more sessions than are named."`
}

// A Seen is what a node made of a message.
type Seen struct {
	Cursor      string `json:"cursor,omitempty" doc:"Where it is for this node."`
	State       State  `json:"state" doc:"What the node made of it: see docs/operating.md."`
	Reason      string `json:"reason,omitempty" doc:"Why there is a gap."`
	DuplicateOf string `json:"duplicate_of,omitempty" doc:"The cursor of the message that it repeats."`
	Sessions    int    `json:"sessions" doc:"How many of the sessions that the node has now it was offered to."`
	Of          []Told `json:"of,omitempty" doc:"What became of it for the user's sessions, newest first."`
}

// A Told is what became of a message for a session.
type Told struct {
	Session   string    `json:"session" doc:"The session, as hello names it."`
	Connected time.Time `json:"connected" doc:"When it began."`
	Ended     time.Time `json:"ended,omitzero" doc:"When it ended; without it, it lasts."`
	Code      int       `json:"code,omitempty" doc:"The close code with which it ended."`
	Address   string    `json:"address,omitempty" doc:"The client's address."`
	Fate      Fate      `json:"fate" doc:"What became of the message: see docs/operating.md."`
	Reason    string    `json:"reason,omitempty" doc:"Why there is a gap."`
}

// A Node is what one node answered.
type Node struct {
	Node        string `json:"node" doc:"The node's name."`
	Incarnation string `json:"incarnation,omitempty" doc:"Its run, from its start on."`
	Answer
	Error string `json:"error,omitempty" doc:"Why it has no answer."`
}

// A Report is what became of the messages with an id, on all nodes.
type Report struct {
	System   string   `json:"system" doc:"The system."`
	ID       string   `json:"id" doc:"The id that was asked for."`
	User     string   `json:"user,omitempty" doc:"The user whose sessions were asked for."`
	Places   []Place  `json:"places" doc:"Where messages with the id are, oldest first. None: there is none any more."`
	Nodes    []Node   `json:"nodes" doc:"What the nodes have answered, sorted by name."`
	Silent   []string `json:"no_answer,omitempty" doc:"Live nodes that have not answered in time."`
	Gone     []Gone   `json:"no_such_node,omitempty" doc:"Nodes that have ended or died since."`
	Complete bool     `json:"complete" doc:"Whether these are all places of the id."`
	Reason   string   `json:"reason,omitempty" doc:"Why places may be missing: trimmed, too_far or lossy."`
}

// A Gone is a node that is not there any more.
type Gone struct {
	Node        string    `json:"node" doc:"The node's name."`
	Incarnation string    `json:"incarnation" doc:"Its run."`
	Heard       time.Time `json:"heard" doc:"When it was heard last."`
}

// Reasons of a report, beside those of a gap.
const (
	ReasonTrimmed = "trimmed" // the log does not hold all that it ever held
	ReasonTooFar  = "too_far" // not all of the log was read
	ReasonLossy   = "lossy"   // the bus keeps no log
)
