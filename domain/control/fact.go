package control

import (
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// A Kind says what a [Fact] is about.
type Kind string

// The kinds of facts.
const (
	// Block refuses a user, and closes the sessions that the user has. Key.Name is the
	// user.
	Block Kind = "block"
	// Disconnect closes the sessions that a user has when a node learns of it. It
	// refuses nobody. Key.Name is the user.
	Disconnect Kind = "disconnect"
	// DisconnectSession closes one session. Key.Name is the session's id.
	DisconnectSession Kind = "disconnect_session"
	// RevokeToken refuses one token, and closes its sessions. Key.Name is the token's
	// jti.
	RevokeToken Kind = "revoke_token"
	// RevokeUser refuses the tokens of a user that were issued before Value.Before, and
	// closes their sessions. Key.Name is the user.
	RevokeUser Kind = "revoke_user"
	// Rebalance has a node ask sessions to go, or no more of them if Value.Rate is 0. Key.Name
	// is the node's incarnation, so that a node which was started again does not obey.
	Rebalance Kind = "rebalance"
	// Membership puts a user into a room. Key.System and Key.Room name it, and Key.Name
	// is the user.
	Membership Kind = "member"
)

// A Key says what a fact is about. There is one fact for each Key.
type Key struct {
	Kind         Kind
	System, Room string // of a Membership; "" for others
	Name         string
}

// A Value is what a fact says beside its Key. Which fields count depends on the kind.
type Value struct {
	Reason string // Block, Disconnect, DisconnectSession: told to the client; at most MaxReason bytes
	// Code is the close code of a Disconnect or DisconnectSession. 0 means 4009.
	Code int
	// Final tells the clients of a Disconnect or DisconnectSession not to come back by
	// themselves.
	Final bool
	// Before is the time before which the tokens of a RevokeUser were issued, in
	// milliseconds since 1970.
	Before int64
	// Rate is how many sessions a second a Rebalance asks to go, at most MaxRate, and Sessions
	// how many in all. Sessions 0 means as many as the node has more than the live nodes have
	// on average.
	Rate, Sessions int
}

// A Fact is what a Key is known to be.
type Fact struct {
	Key   Key
	Value Value
	Left  time.Duration // how long it is still true
}

// Bounds of facts.
const (
	MaxReason = 100 // bytes; a close frame has space for 123
	// MaxTTL is the longest that a fact may be true.
	MaxTTL = 366 * 24 * time.Hour
	// DisconnectTTL is how long a Disconnect is repeated to nodes that have missed it.
	DisconnectTTL = 2 * time.Minute
	// MaxRate and MaxSessions are the most that a Rebalance may ask for.
	MaxRate     = 10_000
	MaxSessions = 100_000_000
)

// A Refusal says why a user is not let in. It is a [domain.ErrForbidden].
type Refusal struct {
	Kind   Kind   // Block, RevokeToken or RevokeUser
	Reason string // Value.Reason
}

// Error says it in words that the client may see: "blocked", "blocked: REASON" or "the
// token was revoked".
func (r *Refusal) Error() string {
	switch {
	case r.Kind != Block:
		return "the token was revoked"
	case r.Reason != "":
		return "blocked: " + r.Reason
	}
	return "blocked"
}

// Unwrap returns [domain.ErrForbidden].
func (r *Refusal) Unwrap() error { return domain.ErrForbidden }
