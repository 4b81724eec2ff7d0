package ws

import (
	"errors"
	"fmt"

	"github.com/fanfarebus/fanfare/domain"
)

// A Code says to a client of fanfare.v1.json why an op failed.
type Code string

// The codes of error answers.
const (
	Invalid     Code = "invalid"
	Forbidden   Code = "forbidden"
	NotFound    Code = "not_found"
	TooLarge    Code = "too_large"
	RateLimited Code = "rate_limited"
	BusDown     Code = "bus_down"
	Busy        Code = "busy"
	Unsupported Code = "unsupported"
)

// An OpError says why an op failed: the code, and a text for the client.
type OpError struct {
	Code    Code
	Message string
}

// Error returns both, for logs.
func (e *OpError) Error() string { return string(e.Code) + ": " + e.Message }

// refuse returns an [OpError].
func refuse(code Code, format string, args ...any) error {
	return &OpError{code, fmt.Sprintf(format, args...)}
}

// asOpError turns any error into an answer. It is the one place that gives errors of
// the domain their code.
func asOpError(err error) *OpError {
	var op *OpError
	var field *domain.FieldError
	switch {
	case errors.As(err, &op):
		return op
	case errors.As(err, &field):
		return &OpError{Invalid, field.Error()}
	case errors.Is(err, domain.ErrBusFull):
		return &OpError{BusDown, "the bus is full; send it again later, with the same id"}
	case errors.Is(err, domain.ErrBusRefused): // the reason lies with the node, not the client
		return &OpError{BusDown,
			"the bus refuses to take it; send it again later, with the same id"}
	case errors.Is(err, domain.ErrUnauthenticated):
		return &OpError{Forbidden, "not a valid token"}
	case errors.Is(err, domain.ErrForbidden):
		return &OpError{Forbidden, "not allowed"}
	case errors.Is(err, domain.ErrTooLarge):
		return &OpError{TooLarge, "too large for the bus"}
	case errors.Is(err, domain.ErrInboundFull):
		return &OpError{RateLimited, "what was sent to the system before is not consumed yet: " +
			"send it again later, with the same id"}
	case errors.Is(err, domain.ErrLimit):
		return &OpError{RateLimited, "the node is busy"}
	case errors.Is(err, domain.ErrNotServed):
		return &OpError{NotFound, "the system is not served"}
	case errors.Is(err, domain.ErrUnsupported):
		return &OpError{Unsupported, "the bus can not do this"}
	default:
		return &OpError{BusDown,
			"the bus did not take it in time; sending again with the same id is safe"}
	}
}
