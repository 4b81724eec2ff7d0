package domain

import (
	"context"
	"fmt"
)

// A Publisher puts messages on the bus. It is safe for concurrent use, and the
// messages remain the caller's.
type Publisher interface {
	// Publish sends the system's messages in their order. It returns nil once
	// the bus has taken all of them, and a *PublishError otherwise. It blocks
	// until then, until ctx ends, or until the publish deadline passes. It does
	// not retry.
	Publish(ctx context.Context, system System, msgs ...*Message) error

	// Inbound sends a user's message from the named session to the business
	// system itself. The message's From is the user, and its To is empty.
	Inbound(ctx context.Context, system System, m *Message, session string) error
}

// A PublishError says how many messages of a batch the bus has taken for
// certain. Whether it has the others is unknown, unless Err is an
// [ErrBusRefused]; publishing them again with the same ids is safe.
type PublishError struct {
	Accepted int   // the first so many messages are on the bus
	Err      error // wraps ErrBusDown, ErrLimit, ErrTooLarge or ErrClosed
}

func (e *PublishError) Error() string {
	return fmt.Sprintf("publish: %d accepted, then: %v", e.Accepted, e.Err)
}

// Unwrap returns Err, the cause.
func (e *PublishError) Unwrap() error { return e.Err }
