package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Errors of Send, Join and Leave, beside OpError.
var (
	// ErrUnknown: the connection was lost before the answer. The message may
	// have been published; sending it again with the same ID is safe.
	ErrUnknown = errors.New("client: the connection was lost before the answer")
	// ErrLeft: the room was left before the join was answered.
	ErrLeft = errors.New("client: the room was left meanwhile")
	// ErrClosed: Run has returned.
	ErrClosed = errors.New("client: closed")
	// ErrBusy: too many calls are waiting for their answers.
	ErrBusy = errors.New("client: too many calls are waiting")
)

// ErrRunning is returned by Run while another Run has not returned.
var ErrRunning = errors.New("client: already running")

// ErrProtocol is wrapped by the error of a connection on which the node said
// what cannot be read.
var ErrProtocol = errors.New("client: the node said what is no op")

// An OpError is a node's answer to what it will not do.
type OpError struct {
	// Code is for programs: invalid, forbidden, not_found, too_large,
	// rate_limited, bus_down, unsupported or busy.
	Code    string
	Message string
}

func (e *OpError) Error() string { return "the node answered " + e.Code + ": " + e.Message }

// A CloseError says with which code a node closed a session.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	text := fmt.Sprintf("the node closed the session: %d", e.Code)
	if e.Reason != "" {
		text += " " + e.Reason
	}
	return text
}

// The close codes that clients care about; docs/protocol.md has them all.
const (
	CodePolicy       = 1008 // too many errors in a row
	CodeTooBig       = 1009 // what the client sent
	CodeExpired      = 4001 // the token
	CodeForbidden    = 4003 // the new token allows nothing here
	CodeDisconnected = 4009 // by the server
	CodeReplaced     = 4010 // the user has too many sessions, and this was the oldest
)

// final says that coming back would be wrong.
func (e *CloseError) final() bool {
	switch e.Code {
	case CodePolicy, CodeTooBig, CodeForbidden, CodeDisconnected, CodeReplaced:
		return true
	}
	return false
}

// A Refusal is the answer of a node that does not let the client in.
type Refusal struct {
	Status int `json:"status"`
	// Detail says why.
	Detail string `json:"detail"`
	// Errors name what is wrong in the request.
	Errors []Fault `json:"errors"`
	// RetryAfter is when to come back, if the node said so.
	RetryAfter time.Duration `json:"-"`

	byNode bool // and not by something before it
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

// final says that the request is wrong, so that it would be refused again. Load
// balancers have 404s of their own, while no node is there.
func (r *Refusal) final() bool {
	if r.Status == http.StatusRequestURITooLong || r.Status == http.StatusRequestHeaderFieldsTooLarge {
		return true // whoever says it
	}
	return r.byNode && r.Status >= 400 && r.Status < 500 && r.Status != http.StatusRequestTimeout && r.Status != http.StatusTooManyRequests
}
