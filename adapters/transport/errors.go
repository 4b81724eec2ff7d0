package transport

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fanfarebus/fanfare/domain"
)

// sentinels are the errors by which a driver says itself what went wrong.
func sentinels() []error {
	return []error{
		domain.ErrBusDown, domain.ErrInvalid, domain.ErrTooLarge, domain.ErrForbidden, domain.ErrUnauthenticated,
		domain.ErrLimit, domain.ErrUnsupported, domain.ErrClosed,
	}
}

// busError makes a driver's failure a domain.ErrBusDown, unless the driver said
// what it is. A refusal becomes one without a word: the bus is there.
func busError(err error) error {
	known := func(sentinel error) bool { return errors.Is(err, sentinel) }
	if known(domain.ErrBusRefused) && !known(domain.ErrBusDown) {
		return &refusedError{err}
	}
	if slices.ContainsFunc(sentinels(), known) {
		return err
	}
	return mark(err, domain.ErrBusDown)
}

// A refusedError is a domain.ErrBusRefused that is a domain.ErrBusDown as well.
type refusedError struct{ error }

func (e *refusedError) Unwrap() []error { return []error{domain.ErrBusDown, e.error} }

// notClosed is for a Transport that nobody has closed. If a driver says all the same
// that something is, such as a connection that ended under it, the bus is down:
// who hears domain.ErrClosed does not try again.
func notClosed(err error) error {
	if errors.Is(err, domain.ErrClosed) {
		return fmt.Errorf("%w: %v", domain.ErrBusDown, err)
	}
	return err
}

// mark makes err wrap the sentinel as well, once. A nil error stays nil.
func mark(err, sentinel error) error {
	if err == nil || errors.Is(err, sentinel) {
		return err
	}
	return fmt.Errorf("%w: %w", sentinel, err)
}

// waitError says why a caller stopped waiting. A deadline of its own that passed
// means that the broker did not answer in time.
func waitError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return mark(err, domain.ErrBusDown)
	}
	return err
}
