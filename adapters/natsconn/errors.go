package natsconn

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/domain"
)

// Classify puts a sentinel of the domain into an error: what is too large, what
// is forbidden, what no server would take, and else domain.ErrBusDown. An error
// that has one passes through, and so do nil, a break, and an end that the
// caller asked for.
func Classify(err error) error {
	if lost := (*domain.GapError)(nil); errors.As(err, &lost) {
		return err
	}
	for _, known := range []error{
		domain.ErrBusDown, domain.ErrClosed, domain.ErrForbidden, domain.ErrInvalid, domain.ErrTooLarge,
		domain.ErrUnsupported, context.Canceled,
	} {
		if errors.Is(err, known) {
			return err
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", domain.ErrTooLarge, err)
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("%w: %w", domain.ErrForbidden, err)
	case errors.Is(err, nats.ErrBadHeaderMsg), errors.Is(err, nats.ErrBadSubject):
		return fmt.Errorf("%w: %w", domain.ErrInvalid, err)
	}
	return fmt.Errorf("%w: %w", domain.ErrBusDown, err)
}

// Refused is Classify of the error of a record that was published. That somebody
// may not publish is the bus's refusal, not the fault of who asked for it.
func Refused(err error) error {
	if err = Classify(err); errors.Is(err, domain.ErrForbidden) {
		return domain.Refused(err)
	}
	return err
}

// refusedAtTheDoor marks what a server answers to a connection that it does not
// let in: nothing was sent.
func refusedAtTheDoor(err error) error {
	for _, no := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
	} {
		if errors.Is(err, no) {
			return domain.Refused(fmt.Errorf("the server does not accept the URL's user, or its password, token, creds or nkey: %w", err))
		}
	}
	if errors.Is(err, nats.ErrMaxConnectionsExceeded) || errors.Is(err, nats.ErrMaxAccountConnectionsExceeded) {
		return domain.Refused(err)
	}
	return err
}

// ErrUnanswered is the error of every record until its own answer was seen.
var ErrUnanswered = fmt.Errorf("%w: the server has not answered", domain.ErrBusDown)

// Unanswered returns the errors of n records of which nothing is known yet.
func Unanswered(n int) []error { return slices.Repeat([]error{ErrUnanswered}, n) }

// Fill gives the error to every record of which nothing is known.
func Fill(errs []error, err error) {
	for i := range errs {
		if errs[i] == ErrUnanswered {
			errs[i] = err
		}
	}
}
