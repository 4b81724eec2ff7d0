package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Errors of Send, Join, Leave, Watch and Unwatch, beside [OpError].
var (
	// ErrUnknown means that no answer came: the connection was lost, or the context
	// ended. The message may have been published. Sending it again with the same ID is
	// safe.
	ErrUnknown = errors.New("client: the connection was lost before the answer")
	// ErrUnwatched means that Unwatch was called before the Watch was answered.
	ErrUnwatched = errors.New("client: the place is not watched any more")
	// ErrLeft means that Leave was called before the join was answered.
	ErrLeft = errors.New("client: the room was left meanwhile")
	// ErrClosed means that Run has returned.
	ErrClosed = errors.New("client: closed")
	// ErrBusy means that too many calls are waiting for their answers.
	ErrBusy = errors.New("client: too many calls are waiting")
)

// ErrRunning is returned by Run if an earlier call of it has not returned yet.
var ErrRunning = errors.New("client: already running")

// ErrProtocol is wrapped by the error of a connection that did not follow the
// protocol: an op could not be read, or the node does not speak fanfare.v1.json.
var ErrProtocol = errors.New("client: the node said what is no op")

// An OpError is a node's answer to an op that it refused.
type OpError struct {
	// Code is for programs: invalid, forbidden, not_found, too_large,
	// rate_limited, bus_down, unsupported or busy.
	Code string
	// Message is for people.
	Message string
}

func (e *OpError) Error() string { return "the node answered " + e.Code + ": " + e.Message }

// A CloseError holds the code with which a node closed a session.
type CloseError struct {
	Code   int
	Reason string
	// Reconnect says that the server disconnected the user, and wants the client back,
	// with a new token: then the client connects again, also after a code that would
	// otherwise be final.
	Reconnect bool

	told bool // the node said whether to reconnect
}

func (e *CloseError) Error() string {
	text := fmt.Sprintf("the node closed the session: %d", e.Code)
	if e.Reason != "" {
		text += " " + e.Reason
	}
	return text
}

// The close codes that matter to a client; docs/protocol.md has all of them. Those from
// 4100 to 4999 have the meaning that an application gives them when it disconnects a user.
const (
	CodePolicy       = 1008 // the client made too many errors in a row
	CodeTooBig       = 1009 // the client sent a frame that is too large
	CodeExpired      = 4001 // the token has expired, or was revoked
	CodeForbidden    = 4003 // the user is blocked, or the new token allows nothing of the session
	CodeDisconnected = 4009 // an operator or a service ended the session: see CloseError.Reconnect
	CodeReplaced     = 4010 // the user has too many sessions, and this was the oldest
)

// The codes that applications choose.
const (
	leastOwn = 4100
	mostOwn  = 4999
)

// final says whether connecting again would be wrong. A session that has expired can be
// replaced if the client can get another token.
func (e *CloseError) final(tokens bool) bool {
	if e.told {
		return !e.Reconnect
	}
	switch e.Code {
	case CodePolicy, CodeTooBig, CodeForbidden, CodeDisconnected, CodeReplaced:
		return true
	case CodeExpired:
		return !tokens
	}
	return e.Code >= leastOwn && e.Code <= mostOwn
}

// A Refusal is an answer to the request for a connection with a status of 300 or more.
type Refusal struct {
	// Status is the HTTP status.
	Status int `json:"status"`
	// Detail says why.
	Detail string `json:"detail"`
	// Errors name what is wrong in the request.
	Errors []Fault `json:"errors"`
	// RetryAfter is how long the answer asks to wait; 0 if it does not say.
	RetryAfter time.Duration `json:"-"`

	byNode bool // a node answered, and not a proxy before it
}

// A Fault is one thing that is wrong in a request.
type Fault struct {
	Location string `json:"location"`
	Message  string `json:"message"`
}

func (r *Refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the node answered %d %s", r.Status, http.StatusText(r.Status))
	if r.Detail != "" {
		b.WriteString(": " + r.Detail)
	}
	for _, f := range r.Errors {
		fmt.Fprintf(&b, "; %s: %s", f.Location, f.Message)
	}
	return b.String()
}

// final says whether the same request would be refused again. The answer of a proxy
// mostly does not say that: load balancers answer 404 while they have no node.
func (r *Refusal) final() bool {
	switch r.Status {
	case http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return true // a proxy's limit stays, too
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return r.byNode && r.Status >= 400 && r.Status < 500
}
