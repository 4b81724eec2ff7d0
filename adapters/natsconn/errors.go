package natsconn

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/domain"
)

// Classify makes err wrap a sentinel of the domain: domain.ErrTooLarge,
// domain.ErrForbidden, domain.ErrInvalid for what no server would take, else
// domain.ErrBusDown. It returns err unchanged if it is nil, wraps a sentinel
// already, is a gap, or is the caller's own cancellation.
func Classify(err error) error {
	if gap := (*domain.GapError)(nil); errors.As(err, &gap) {
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

// ClassifyRefusal is [Classify] for what the node asks of the server with its own
// login, such as to publish a record. A missing right is then a refusal of the bus
// (domain.ErrBusRefused), and no fault of the client on whose behalf it was asked.
func ClassifyRefusal(err error) error {
	if err = Classify(err); errors.Is(err, domain.ErrForbidden) {
		return domain.Refused(err)
	}
	return err
}

// loginRefused marks the answers with which a server turns a new connection away.
// After them it is certain that nothing was sent.
func loginRefused(err error) error {
	for _, login := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
	} {
		if errors.Is(err, login) {
			return domain.Refused(fmt.Errorf("the server does not accept the URL's user, "+
				"or its password, token, creds or nkey: %w", err))
		}
	}
	if errors.Is(err, nats.ErrMaxConnectionsExceeded) ||
		errors.Is(err, nats.ErrMaxAccountConnectionsExceeded) {
		return domain.Refused(err)
	}
	return err
}

// ErrUnanswered is the error of every record until the answer to it was seen.
var ErrUnanswered = fmt.Errorf("%w: the server has not answered", domain.ErrBusDown)

// Unanswered returns the errors of n records, none of which was answered yet.
func Unanswered(n int) []error { return slices.Repeat([]error{ErrUnanswered}, n) }

// FillUnanswered replaces ErrUnanswered by err.
func FillUnanswered(errs []error, err error) {
	for i := range errs {
		if errs[i] == ErrUnanswered {
			errs[i] = err
		}
	}
}
