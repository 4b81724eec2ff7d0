package domain

import (
	"context"
	"fmt"
)

// A Publisher puts messages on the bus. It is safe for concurrent use, and the
// messages remain the caller's.
type Publisher interface {
	// Publish sends the system's messages in their order. It returns no error once
	// the bus has taken all of them, and a *PublishError otherwise. It blocks
	// until then, until ctx ends, or until the publish deadline passes. It does
	// not retry.
	//
	// The cursor says "I have seen everything up to the last of these messages". It is
	// the zero Cursor on a bus without a log, and where the bus did not say where it
	// has the message.
	Publish(ctx context.Context, system System, msgs ...*Message) (Cursor, error)

	// Inbound sends a user's message from the named session to the business
	// system itself. The message's From is the user, and its To is empty.
	Inbound(ctx context.Context, system System, m *Message, session string) error
}

// A PublishError says how far a publish has come. Whether the bus has the messages
// that are not Accepted is unknown, unless Refused is set; publishing them again
// with the same ids is safe.
type PublishError struct {
	Accepted int // how many messages, from the first on, are certainly on the bus
	// Refused says that the bus certainly has none of the others. They were not
	// sent, or the bus answered that it does not take them.
	Refused bool
	// Err is the cause. It wraps [ErrBusDown] if the bus could not be reached or did
	// not answer in time, [ErrLimit] if too many publishes wait, [ErrInvalid] or
	// [ErrTooLarge] for a message that cannot be sent at all, [ErrClosed] after
	// Close, and the context's error if the caller's context has ended.
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

// Unwrap returns Err, the cause.
func (e *PublishError) Unwrap() error { return e.Err }
