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
		domain.ErrBusDown, domain.ErrInvalid, domain.ErrTooLarge, domain.ErrForbidden,
		domain.ErrUnauthenticated, domain.ErrLimit, domain.ErrUnsupported, domain.ErrClosed,
	}
}

// busError makes a driver's failure a [domain.ErrBusDown], unless the driver said
// what it is. A [domain.ErrBusRefused] becomes an ErrBusDown as well, with its
// text unchanged: "bus is down" would be wrong there.
func busError(err error) error {
	is := func(sentinel error) bool { return errors.Is(err, sentinel) }
	if is(domain.ErrBusRefused) && !is(domain.ErrBusDown) {
		return &refusedError{err}
	}
	if slices.ContainsFunc(sentinels(), is) {
		return err
	}
	return wrapSentinel(err, domain.ErrBusDown)
}

// A refusedError is a [domain.ErrBusRefused] that is a [domain.ErrBusDown] as well.
type refusedError struct{ error }

func (e *refusedError) Unwrap() []error { return []error{domain.ErrBusDown, e.error} }

// notClosed is for a Transport that nobody has closed. Its driver may say
// [domain.ErrClosed] all the same, of a connection that ended for example. Callers
// take that error as final and do not try again, so it becomes a
// [domain.ErrBusDown].
func notClosed(err error) error {
	if errors.Is(err, domain.ErrClosed) {
		return fmt.Errorf("%w: %v", domain.ErrBusDown, err)
	}
	return err
}

// wrapSentinel makes err wrap the sentinel as well, unless it does. A nil error
// stays nil.
func wrapSentinel(err, sentinel error) error {
	if err == nil || errors.Is(err, sentinel) {
		return err
	}
	return fmt.Errorf("%w: %w", sentinel, err)
}

// waitError says why a caller stopped waiting; err is its context's. If a deadline
// of the caller passed, the broker did not answer in time.
func waitError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return wrapSentinel(err, domain.ErrBusDown)
	}
	return err
}
