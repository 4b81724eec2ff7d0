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
	Acked      Fate = "acked"                // its client has shown a cursor at or after the message
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
	MaxPlaces   = 16  // places in a question
	MaxSessions = 50  // sessions in an answer for each place, the newest
)

// A Place is where a message is, with what nodes need to say what became of it.
type Place struct {
	Cursor   string    `json:"cursor,omitempty"`
	LoggedAt time.Time `json:"logged_at,omitzero"`
	To       []string  `json:"to,omitempty"` // nil if it cannot be decoded
	Type     string    `json:"type,omitempty"`
	TTL      int       `json:"ttl,omitempty"` // seconds
	Bytes    int       `json:"bytes,omitempty"`
	// DuplicateOf is the cursor of the message that it repeats.
	DuplicateOf string `json:"duplicate_of,omitempty"`
	Poison      bool   `json:"poison,omitempty"`
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
	// Reads says whether the node reads the system now. If not, Places says nothing.
	Reads bool `json:"reads"`
	// Since is from when on the node has read the system, by the log's clock.
	Since  time.Time `json:"since,omitzero"`
	Places []Seen    `json:"places"` // in the question's order
	// Ended is since when the node remembers all sessions that have ended; zero since its start.
	Ended time.Time `json:"ended,omitzero"`
	// More says that the user has had more sessions than are named.
	More bool `json:"more,omitempty"`
}

// A Seen is what a node made of a message.
type Seen struct {
	Cursor string `json:"cursor,omitempty"`
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // of a gap
	// DuplicateOf is the cursor of the message that it repeats.
	DuplicateOf string `json:"duplicate_of,omitempty"`
	// Sessions is how many of the node's present sessions it was offered to.
	Sessions int    `json:"sessions"`
	Of       []Told `json:"of,omitempty"` // the user's sessions, newest first
}

// A Told is what became of a message for a session.
type Told struct {
	Session   string    `json:"session"`
	Connected time.Time `json:"connected"`
	Ended     time.Time `json:"ended,omitzero"` // zero while it lasts
	Code      int       `json:"code,omitempty"` // the close code with which it ended
	Address   string    `json:"address,omitempty"`
	Fate      Fate      `json:"fate"`
	Reason    string    `json:"reason,omitempty"` // of a gap
}

// A Node is what one node answered.
type Node struct {
	Node        string `json:"node"`
	Incarnation string `json:"incarnation"`
	Answer
	// Error says why the node has no answer.
	Error string `json:"error,omitempty"`
}

// A Report is what became of the messages with an id, on all nodes.
type Report struct {
	System string  `json:"system"`
	ID     string  `json:"id"`
	User   string  `json:"user,omitempty"`
	Places []Place `json:"places"` // oldest first
	Nodes  []Node  `json:"nodes"`  // sorted by name
	// Silent are live nodes that have not answered in time, and Gone those that have died
	// or left lately: what became of the message there, nobody can say.
	Silent []string `json:"no_answer,omitempty"`
	Gone   []Gone   `json:"no_such_node,omitempty"`
	// Complete says that every place of the id was found.
	Complete bool `json:"complete"`
	// Reason says why something may be missing: "trimmed", "too_far", "lossy" or "gap".
	Reason string `json:"reason,omitempty"`
}

// Reasons of a report, beside those of a gap.
const (
	ReasonTrimmed = "trimmed" // the log does not hold all that it ever held
	ReasonTooFar  = "too_far" // not all of the log was read
	ReasonLossy   = "lossy"   // the bus keeps no log
)

// A Gone is a node that is not there any more.
type Gone struct {
	Node        string    `json:"node"`
	Incarnation string    `json:"incarnation"`
	Heard       time.Time `json:"heard"` // when it was heard last
}
