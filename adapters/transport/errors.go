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
// what it is.
func busError(err error) error {
	known := func(sentinel error) bool { return errors.Is(err, sentinel) }
	if slices.ContainsFunc(sentinels(), known) {
		return err
	}
	return mark(err, domain.ErrBusDown)
}

// mark makes err wrap the sentinel as well, once. A nil error stays nil.
func mark(err, sentinel error) error {
	if err == nil || errors.Is(err, sentinel) {
		return err
	}
	return fmt.Errorf("%w: %w", sentinel, err)
}

// gone says why a caller stopped waiting. A deadline of its own that passed
// means that the broker did not answer in time.
func gone(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return mark(err, domain.ErrBusDown)
	}
	return err
}
