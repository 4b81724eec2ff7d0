package domain

import (
	"errors"
	"fmt"
)

// Sentinel errors. Ports turn them into status and close codes in one place.
var (
	// ErrInvalid marks input that breaks a rule of this package. A FieldError
	// says which one and where.
	ErrInvalid = errors.New("invalid")
	// ErrTooLarge marks input that is over a size limit.
	ErrTooLarge = errors.New("too large")
	// ErrUnauthenticated: no credentials, or ones that prove nothing.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrForbidden: known, but not allowed.
	ErrForbidden = errors.New("forbidden")
	// ErrNotServed: this node does not serve the system.
	ErrNotServed = errors.New("system is not served")
	// ErrLimit: a configured limit is reached; try later or elsewhere.
	ErrLimit = errors.New("limit reached")
	// ErrInboundFull is an ErrLimit: so much of what users have sent to a system is
	// not consumed yet that no more is taken.
	ErrInboundFull = fmt.Errorf("what was sent before is not consumed yet: %w", ErrLimit)
	// ErrBusDown: the bus did not take the message in time. Whether it has it
	// is unknown; publishing again with the same id is safe.
	ErrBusDown = errors.New("bus is down")
	// ErrBusRefused: the bus answered that it does not take the message: it is
	// out of memory, read only, or the topic is something else there. It comes
	// with ErrBusDown, and is certain: the bus does not have it.
	ErrBusRefused = errors.New("the bus refused")
	// ErrBusFull: the bus has no room, and was told to refuse rather than to
	// make some. It comes with ErrBusRefused.
	ErrBusFull = errors.New("the bus is full")
	// ErrUnsupported: the transport cannot do this.
	ErrUnsupported = errors.New("not supported by this transport")
	// ErrClosed: the value was closed before the call.
	ErrClosed = errors.New("closed")
)

// A FieldError is an ErrInvalid with a place: the path of the field, such as
// "to[2]" or "ttl", and what is wrong with it, fit to show to a caller.
type FieldError struct {
	Path    string
	Problem string
}

func (e *FieldError) Error() string {
	if e.Path == "" {
		return e.Problem
	}
	return e.Path + ": " + e.Problem
}

// Unwrap makes a FieldError an ErrInvalid.
func (e *FieldError) Unwrap() error { return ErrInvalid }

func invalid(path, format string, args ...any) error {
	return &FieldError{Path: path, Problem: fmt.Sprintf(format, args...)}
}

// Refused makes an error that the bus answered with an ErrBusRefused, and so an
// ErrBusDown. Its text is the answer's. A nil error stays nil.
func Refused(err error) error {
	if err == nil || errors.Is(err, ErrBusRefused) && errors.Is(err, ErrBusDown) {
		return err
	}
	return &refusal{err}
}

type refusal struct{ answer error }

func (r *refusal) Error() string   { return ErrBusRefused.Error() + ": " + r.answer.Error() }
func (r *refusal) Unwrap() []error { return []error{ErrBusRefused, ErrBusDown, r.answer} }

// At puts a FieldError one level deeper: At("to[2]", err) turns "name: …" into
// "to[2].name: …". Other errors pass through. A path may be a name that came from
// outside, so a long one is cut.
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
