package domain

import (
	"errors"
	"fmt"
)

// Sentinel errors. Ports turn them into status and close codes in one place.
var (
	// ErrInvalid means that input breaks a rule of this package. A FieldError
	// says which rule, and where.
	ErrInvalid = errors.New("invalid")
	// ErrTooLarge means that input is over a size limit.
	ErrTooLarge = errors.New("too large")
	// ErrUnauthenticated means that there were no credentials, or that they
	// were refused. A CredentialError says why.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrForbidden means that the caller is known, but may not do this.
	ErrForbidden = errors.New("forbidden")
	// ErrNotServed means that this node does not serve the system.
	ErrNotServed = errors.New("system is not served")
	// ErrLimit means that a configured limit is reached. The caller may succeed
	// later, or on another node.
	ErrLimit = errors.New("limit reached")
	// ErrInboundFull is an ErrLimit. It means that the business system has left
	// so many messages of its users unconsumed that the bus takes no more.
	ErrInboundFull = fmt.Errorf("what was sent before is not consumed yet: %w", ErrLimit)
	// ErrBusDown means that the bus did not take the message in time. Whether
	// the bus has it is unknown; publishing it again with the same id is safe.
	ErrBusDown = errors.New("bus is down")
	// ErrBusRefused means that the bus answered that it does not take the
	// message: it is out of memory or read-only, or the topic's name is taken by
	// something else. It always comes together with ErrBusDown, but here it is
	// certain that the bus does not have the message.
	ErrBusRefused = errors.New("the bus refused")
	// ErrBusFull means that the bus has no room, and is configured to refuse new
	// messages rather than to drop old ones. It always comes together with
	// ErrBusRefused.
	ErrBusFull = errors.New("the bus is full")
	// ErrUnsupported means that the transport, or the node as it is set up, cannot do
	// this.
	ErrUnsupported = errors.New("not supported")
	// ErrClosed means that the value was closed before the call.
	ErrClosed = errors.New("closed")
)

// A FieldError is an [ErrInvalid] that names the field. Both parts are fit to
// be shown to the caller.
type FieldError struct {
	Path    string // of the field, such as "to[2]" or "ttl"; "" for the whole input
	Problem string // what is wrong with it
}

func (e *FieldError) Error() string {
	if e.Path == "" {
		return e.Problem
	}
	return e.Path + ": " + e.Problem
}

// Unwrap makes a FieldError an [ErrInvalid].
func (e *FieldError) Unwrap() error { return ErrInvalid }

func invalid(path, format string, args ...any) error {
	return &FieldError{Path: path, Problem: fmt.Sprintf(format, args...)}
}

// Refused wraps the error that a bus answered with, so that it is an
// [ErrBusRefused] and an [ErrBusDown] as well. It returns nil for nil.
func Refused(err error) error {
	if err == nil || errors.Is(err, ErrBusRefused) && errors.Is(err, ErrBusDown) {
		return err
	}
	return &refusal{err}
}

type refusal struct{ answer error }

func (r *refusal) Error() string   { return ErrBusRefused.Error() + ": " + r.answer.Error() }
func (r *refusal) Unwrap() []error { return []error{ErrBusRefused, ErrBusDown, r.answer} }

// At puts the path in front of the path of a [FieldError]: At("to[2]", err)
// turns "name: …" into "to[2].name: …". It returns other errors as they are. A
// path may be a name that came from outside, so a long one is cut.
func At(path string, err error) error {
	var f *FieldError
	if !errors.As(err, &f) {
		return err
	}
	path = clip(path)
	switch {
	case f.Path == "":
	case f.Path[0] == '[':
		path += f.Path
	default:
		path += "." + f.Path
	}
	return &FieldError{Path: path, Problem: f.Problem}
}
