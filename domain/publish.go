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
// on the bus. Of the others it is not known; publishing them again with the
// same ids is safe.
type PublishError struct {
	Accepted int
	Err      error // wraps ErrBusDown, ErrLimit, ErrTooLarge or ErrClosed
}

func (e *PublishError) Error() string {
	return fmt.Sprintf("publish: %d accepted, then: %v", e.Accepted, e.Err)
}

// Unwrap returns Err.
func (e *PublishError) Unwrap() error { return e.Err }
