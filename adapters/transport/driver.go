package transport

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

// A Driver is what one broker must be able to do; Transport makes the rest of
// it. All methods may be called concurrently.
type Driver interface {
	// Guarantees says what the broker promises. It never changes.
	Guarantees() Guarantees

	// CheckTopic says whether the broker can carry a topic of this name.
	CheckTopic(topic string) error

	// Follow opens a feed of what the topic carries after a position; after ""
	// means after the tail, which Follow resolves to a real position where the
	// broker keeps a log. It returns once the broker has confirmed: nothing
	// published after that is missed. Where it cannot prove that the feed goes
	// on exactly after the position, it returns a *GapError and no feed; for
	// after "" there is no GapError. Another error counts as
	// domain.ErrBusDown unless it wraps another sentinel of the domain.
	// Without a log after is always "". The context bounds Follow, not the feed.
	Follow(ctx context.Context, topic string, after domain.Position) (Feed, error)

	// Publish sends in the order given and returns once the broker has taken
	// what it will take. It returns nil if there was no error at all, else a
	// slice as long as records, with an error in the place of each record that
	// the broker did not take or for which that is unknown. No error means that
	// the broker's answer for this very record was seen. An error counts as
	// domain.ErrBusDown unless it wraps another sentinel of the domain; where the
	// broker answered that it does not take the record, it wraps
	// domain.ErrBusRefused. Publish
	// tries once. It must not change records and messages, nor keep anything
	// of them after it has returned.
	Publish(ctx context.Context, records []Outgoing) []error

	// Ping asks the broker for a sign of life.
	Ping(ctx context.Context) error

	// Close frees what the driver holds. Feeds are closed before it. It may be
	// called more than once; afterwards every other call that asks the broker
	// fails with domain.ErrClosed.
	Close() error
}

// A Feed reads one topic forward. One goroutine reads it; Close may be called
// from another, more than once, and ends a Read that is under way.
type Feed interface {
	// Log identifies the log that is read; 0 without one.
	Log() domain.LogID
	// Begin is the position that Follow resolved; "" without a log.
	Begin() domain.Position
	// Read blocks until there is something and returns it, a batch at a time:
	// Records, in order, at most BatchSize. The caller owns them. If the feed
	// finds that it lost its place, it returns a *GapError; after any error
	// the feed is over. What the broker holds but nobody could decode is still
	// returned: telling good from bad is the reader's work.
	Read(ctx context.Context) ([]domain.Entry, error)
	Close() error
}

// A LastHeard is a Feed that knows when it last heard from the broker. With it,
// the time in which a connection swallowed everything counts as time without a
// feed.
type LastHeard interface {
	// LastHeard is when the last Read began, or had a sign of life if that is
	// later. The goroutine that reads calls it.
	LastHeard() time.Time
}

// BatchSize is the most entries that one Read returns.
const BatchSize = 256

// An Outgoing is a message on its way to a topic.
type Outgoing struct {
	Topic   string
	Message *message.Message
}

// A GapError says that a feed cannot go on where it stopped.
type GapError = domain.GapError

// Guarantees describe a transport to its users, truthfully: the conformance
// suite checks each claim.
type Guarantees struct {
	Log        bool // keeps what it carried, and can be read from a position
	AtLeast    bool // at least once while the log is kept; else at most once
	TotalOrder bool // all readers see one order of all publishers' messages
	Groups     bool // consumer groups share the inbound topics
}

// A LogDriver is a Driver whose broker keeps a log; every driver whose
// Guarantees say Log is one. (Of a driver that is wrapped and loses these
// methods, subscriptions begin at the tail, and nobody watches how far they
// are behind it.)
type LogDriver interface {
	// FollowSince is Follow of everything that the log still holds from time t
	// on, by the log's own times. Begin is a position before the first such
	// entry; if there is none, the tail. Of what was before Begin nothing is
	// claimed; from there on continuity is proven as ever.
	FollowSince(ctx context.Context, topic string, t time.Time) (Feed, error)

	// Tail returns the position of the last entry that the log holds; if it
	// holds none, a position at or before all that will come. It is cheap: it
	// opens no connection, where there is one already.
	Tail(ctx context.Context, topic string) (domain.Position, error)
}

// A GroupDriver is a Driver whose broker shares a topic among the members of a
// consumer group, each message going to one of them until it is acked.
// Business services consume inbound topics so. A Driver without it offers
// inbound topics to every subscriber.
type GroupDriver interface {
	// Group returns a subscriber in the named group. The caller closes it.
	Group(name string) (message.Subscriber, error)
}

// A Trimmer is a Driver whose log grows until somebody trims it. Transport
// calls Trim now and then for each topic that it follows or has published to.
type Trimmer interface {
	// Trim drops what is older than the retention the driver was opened with.
	Trim(ctx context.Context, topic string) error
}

// A ConsumedTrimmer is a Trimmer whose broker knows what consumer groups have done
// with a topic.
type ConsumedTrimmer interface {
	// TrimConsumed drops from an inbound topic what every one of its consumer
	// groups has acked, and what is older than the retention. What a group has not
	// acked, or not seen yet, stays; without groups nothing is consumed. It returns
	// how old the oldest entry left is, at most the retention; 0 if none is left.
	TrimConsumed(ctx context.Context, topic string) (oldest time.Duration, err error)
}

// A Retainer is a Trimmer that can tell whether its retention was asked for.
// Who only publishes does not trim to a default that may be shorter than what
// the nodes were told to keep.
type Retainer interface {
	RetentionAsked() bool
}
