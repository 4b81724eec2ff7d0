package domain

import (
	"context"
	"fmt"
)

// A Publisher puts messages on the bus. It is safe for concurrent use; the
// messages remain the caller's.
type Publisher interface {
	// Publish sends a system's messages in order and returns once the bus has
	// taken all of them, or a *PublishError. It is bounded by ctx and by the
	// publish deadline, and tries once.
	Publish(ctx context.Context, system System, msgs ...*Message) error

	// Inbound sends what a user said to the business system itself. The
	// message's From is the user; To is empty.
	Inbound(ctx context.Context, system System, m *Message, session string) error
}

// A PublishError says how far a publish came: the first Accepted messages are
// on the bus. Whether the bus has the others is unknown, unless Refused;
// publishing them again with the same ids is safe.
type PublishError struct {
	Accepted int
	// Refused: it is certain that the bus has none of the others. They were not
	// sent, or the bus answered that it does not take them.
	Refused bool
	// Err wraps [ErrBusDown] when the bus could not be reached or did not answer
	// in time, [ErrLimit] when too many publishes wait, [ErrInvalid] or
	// [ErrTooLarge] for what cannot be sent at all, [ErrClosed] after Close, and
	// the context's error when the caller's context ended.
	Err error
}

func (e *PublishError) Error() string {
	how := "outcome unknown"
	if e.Refused {
		how = "none of it is on the bus"
	}
	if e.Accepted > 0 {
		how = fmt.Sprintf("%d accepted, the rest: %s", e.Accepted, how)
	}
	return fmt.Sprintf("%v (%s)", e.Err, how)
}

// Unwrap returns Err.
func (e *PublishError) Unwrap() error { return e.Err }
