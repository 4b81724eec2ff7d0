package conformance

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
)

// A Harness tells the suite about a transport. Only Open is required. If the
// function for a fault is nil, the suite cannot check that fault, and says so.
//
// The functions may fail the test that they are given. The suite calls them from
// the test's goroutine, one at a time.
type Harness struct {
	// Name is the title of the report.
	Name string

	// Open returns a new driver for the same broker, as if for one more node or
	// publisher. The suite closes it. Package adapters/watermillbus makes a
	// driver of a Watermill Publisher and Subscriber.
	Open func(t testing.TB) transport.Driver

	// Topic returns the name of a topic that nobody has used before. By default
	// it is a random name of lower-case letters, digits and dots.
	Topic func(t testing.TB) string

	// Cut ends all connections to the broker. It also refuses new ones, until
	// Mend.
	Cut, Mend func()

	// Freeze makes the broker swallow everything that is sent to it, without
	// ending connections, until Thaw. After Thaw new connections must work; those
	// that were frozen may stay frozen.
	Freeze, Thaw func()

	// Deafen makes the broker swallow only what belongs to subscriptions, until
	// Thaw. Publishing and Ping still work. It can only be written for clients
	// whose subscriptions have connections of their own.
	Deafen func()

	// Trim makes the log of a topic drop all but the newest keep entries.
	Trim func(t testing.TB, topic string, keep int)

	// Recreate deletes a topic with everything in it. It also creates the topic
	// again, unless publishing does that.
	Recreate func(t testing.TB, topic string)

	// Poison publishes something, with the broker's own client, that the
	// driver's format does not provide for.
	Poison func(t testing.TB, topic string)

	// HidesCuts says that the client library reconnects by itself and tells
	// nobody. Only a transport without a log may do that. The report says what
	// is lost unnoticed.
	HidesCuts bool

	// Waive names cases that the transport is known to fail, each with the
	// reason. They do not run, and the report lists them.
	Waive map[string]string

	// Goroutines names functions, as a stack trace shows them, whose goroutines
	// belong to the harness and may outlive a case, such as those of an embedded
	// broker.
	Goroutines []string

	// Patience is how long an expected event may take before a case fails. The
	// default is 10 s.
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
