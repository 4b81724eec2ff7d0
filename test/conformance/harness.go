package conformance

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// A Harness is what the suite needs of one transport. Only Open is required. A
// fault without a function cannot be checked, and the suite says so.
//
// A Harness's functions may fail the test they are given. They are called from
// its goroutine, one at a time.
type Harness struct {
	// Name heads the report.
	Name string

	// Open returns a new driver, each time of the same broker: one more node, or
	// one more publisher. The suite closes it. A Watermill Publisher and
	// Subscriber become a driver by adapters/watermillbus.
	Open func(t testing.TB) transport.Driver

	// Topic returns the name of a topic that nobody has used. Default: a random
	// name of lower-case letters, digits, dots and hyphens.
	Topic func(t testing.TB) string

	// Cut ends every connection to the broker and refuses new ones, until Mend.
	Cut, Mend func()

	// Freeze makes the broker swallow all that is sent to it without ending a
	// connection, until Thaw. Connections that were frozen may stay so; new
	// ones must work again.
	Freeze, Thaw func()

	// Deafen makes it swallow what belongs to subscriptions alone, until Thaw:
	// who publishes, or asks for a sign of life, is answered. It makes sense
	// where these have connections of their own.
	Deafen func()

	// Trim makes the log of a topic forget all but the newest keep entries.
	Trim func(t testing.TB, topic string, keep int)

	// Recreate deletes a topic with all that it held, and makes it anew where
	// publishing does not.
	Recreate func(t testing.TB, topic string)

	// Poison puts something on the topic, with the broker's own means, that the
	// driver's format does not foresee.
	Poison func(t testing.TB, topic string)

	// HidesCuts says that the client library reconnects by itself and tells
	// nobody. Only a transport without a log may do so, and the report says what
	// stays unnoticed.
	HidesCuts bool

	// Waive names cases that the transport is known to fail, each with the reason.
	// They do not run; the report says what the transport cannot do.
	Waive map[string]string

	// Goroutines names functions, as a stack shows them, whose goroutines are
	// the harness's own and may outlive a case: those of an embedded broker.
	Goroutines []string

	// Patience is how long what must happen may take before a case fails;
	// default 10 s.
	Patience time.Duration
}

func (h Harness) withDefaults() Harness {
	if h.Topic == nil {
		h.Topic = func(testing.TB) string { return "conformance." + strings.ToLower(rand.Text()[:12]) }
	}
	if h.Patience <= 0 {
		h.Patience = 10 * time.Second
	}
	return h
}
