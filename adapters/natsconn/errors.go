package natsconn

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/fanfarebus/fanfare/domain"
)

// Classify puts a sentinel of the domain into an error: what is too large, what
// is forbidden, what no server would take, and else domain.ErrBusDown. An error
// that has one passes through, and so do nil, a break, and an end that the
// caller asked for.
func Classify(err error) error {
	if lost := (*domain.BreakError)(nil); errors.As(err, &lost) {
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

// Fill gives the error to every record that has none.
func Fill(errs []error, err error) {
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
	}
}
