package transport

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/domain"
)

// A Driver is what one broker must be able to do; [Transport] makes the rest of
// a bus from it. All methods may be called concurrently.
//
// Some brokers can do more. A driver says so by implementing [LogDriver], [Rewinder],
// [GroupDriver], [WindowGroupDriver], [Trimmer], [ConsumedTrimmer] or [Retainer], and its
// feeds by implementing [LastHeard]. Each of these says what its absence means.
type Driver interface {
	// Guarantees says what the broker promises. It never changes.
	Guarantees() Guarantees

	// CheckTopic says whether the broker can carry a topic of this name.
	CheckTopic(topic string) error

	// Follow opens a feed of what the topic carries after a position. The
	// position "" means after the tail, which Follow resolves to a real position
	// where the broker keeps a log; without a log the position is always "".
	//
	// Follow returns once the broker has confirmed: nothing that is published
	// after that is missed. Where Follow cannot prove that the feed goes on
	// exactly after the position, it returns a *GapError and no feed; after ""
	// there is nothing to prove, and no GapError. Any other error counts as
	// [domain.ErrBusDown] unless it wraps another sentinel of the domain.
	//
	// The context bounds Follow, not the feed.
	Follow(ctx context.Context, topic string, after domain.Position) (Feed, error)

	// Publish sends records in the order given, tries once, and returns when the
	// broker has taken what it will take.
	//
	// It returns nil if there was no error at all. Otherwise it returns a slice
	// as long as records, with an error at the index of each record that the
	// broker did not take, or for which that is unknown. No error at an index
	// means that the broker's answer for this very record was seen. An error
	// counts as [domain.ErrBusDown] unless it wraps another sentinel of the
	// domain; where the broker answered that it does not take the record, it
	// wraps [domain.ErrBusRefused].
	//
	// A [LogDriver] sets Stored of each record that the broker took, if the broker's
	// answer says where the record is. Apart from that, Publish must not change
	// records and their messages, and keeps nothing of them after it has returned.
	Publish(ctx context.Context, records []Outgoing) []error

	// Ping asks the broker for a sign of life.
	Ping(ctx context.Context) error

	// Close frees what the driver holds. Feeds are closed before it. Close may
	// be called more than once; afterwards every other call that asks the broker
	// fails with [domain.ErrClosed].
	Close() error
}

// An Outgoing is a message on its way to a topic.
type Outgoing struct {
	Topic   string
	Message *message.Message
	// Stored is what [Driver].Publish has learned about the record.
	Stored
}

// A Stored says where a log has a record, and since when. The zero Stored says nothing:
// the bus keeps no log, or the broker did not say.
type Stored struct {
	// At is the record's location: its log as [Feed].Log tells it, and the position
	// that a feed's entry has. If a driver remembers a log's identity and the log was
	// made anew since, At may name the log that is gone; readers are then told a gap.
	At domain.Location
	// Time is when the log took the record. Zero if the broker did not say.
	Time time.Time
}

// RawKey is a metadata key that a publisher sets, to any value but "", to say
// that the payload is complete: it is an envelope, which already holds the id
// and everything else. A driver whose bus carries bare payloads then sends the
// payload verbatim, without UUID and metadata, so that any subscriber can read
// it. Without RawKey such a driver frames the message, so that nothing is
// lost. The key itself never travels: every driver drops it.
const RawKey = "fanfare.raw"

// Guarantees describe a bus to its users, truthfully: the conformance suite
// (test/conformance) checks each claim.
type Guarantees struct {
	Log        bool // keeps what it carried, and can be read from a position
	AtLeast    bool // at least once while the log is kept; else at most once
	TotalOrder bool // all readers see one order of all publishers' messages
	Groups     bool // consumer groups share the inbound topics
}

// BatchSize is the most entries that one [Feed].Read returns.
const BatchSize = 256

// A Feed reads one topic forward. One goroutine reads it; Close may be called
// from another, more than once, and ends a Read that is under way.
type Feed interface {
	// Log identifies the log that is read; it is 0 without one.
	Log() domain.LogID

	// Begin is the position that Follow resolved; it is "" without a log.
	Begin() domain.Position

	// Read blocks until there is something to return, and returns it as one
	// batch of entries of the kind [domain.Record], in order, at most BatchSize.
	// The caller owns them; their texts and bodies may share memory, so whoever
	// keeps a small part of one should clone it. Entries that the broker holds but that nobody can
	// decode are returned too: the reader tells good ones from bad ones.
	//
	// If the feed finds that it lost its position, Read returns a *GapError.
	// After any error the feed is over.
	Read(ctx context.Context) ([]domain.Entry, error)

	Close() error
}

// A GapError says that a feed cannot go on where it stopped.
type GapError = domain.GapError

// A LastHeard is a [Feed] that knows when it last heard from the broker. Of a
// feed without it, [Transport.Deaf] counts the time without a feed from the
// moment when Read failed; so a connection that swallowed everything for a while
// before it failed is noticed later.
type LastHeard interface {
	// LastHeard is when the last Read began, or when the broker last gave a sign
	// of life if that is later. The goroutine that reads calls it.
	LastHeard() time.Time
}

// A LogDriver is a [Driver] whose broker keeps a log. Every driver whose
// Guarantees say Log is one. Where a wrapper around such a driver hides these
// methods, all subscriptions begin at the tail, and nobody notices how far they
// are behind it.
type LogDriver interface {
	// FollowSince is Follow for everything that the log still holds from the
	// time t on, by the log's own times. The feed's Begin is a position before
	// the first such entry; if there is none, it is the tail. Nothing is claimed
	// about what was before Begin; from there on continuity is proven as in
	// Follow.
	FollowSince(ctx context.Context, topic string, t time.Time) (Feed, error)

	// Tail returns the position of the last entry that the log holds. If the log
	// holds none, it returns a position at or before everything that will come.
	// Tail is cheap: it opens no connection if there is one already.
	Tail(ctx context.Context, topic string) (domain.Position, error)
}

// A Rewinder is a [LogDriver] that can count entries from the end of a log. With a driver
// that is none, [Transport.Back] fails with [domain.ErrUnsupported].
type Rewinder interface {
	// Back returns the position before the n-th newest of the entries at or before
	// upTo; upTo "" means the tail. What Follow reads from there on begins with
	// these entries, of which the last is the newest one at or before upTo. n is at
	// least 1.
	//
	// If the log holds fewer than n such entries, start is true, and the position is
	// before the oldest entry that the log holds. If it holds none at all, the
	// position is that of its tail. Either is one from which Follow can begin as long
	// as nothing more is trimmed.
	//
	// Back creates no topic. Its cost may grow with the size of the n entries, which
	// it may have to read; it keeps only a bounded part of them in memory. An upTo
	// that is no position of the broker is a *GapError. Other errors are as those of
	// Follow.
	Back(ctx context.Context, topic string, upTo domain.Position, n int) (
		at domain.Position, start bool, err error)
}

// A GroupDriver is a [Driver] whose broker shares a topic among the members of a
// consumer group: each message goes to one of them until it is acked. Business
// services read inbound topics this way. With a driver that is no GroupDriver,
// [Transport.Group] fails with [domain.ErrUnsupported], and inbound topics go to
// every subscriber.
type GroupDriver interface {
	// Group returns a subscriber in the named group. The caller closes it.
	Group(name string) (message.Subscriber, error)
}

// A WindowGroupDriver is a [GroupDriver] whose groups' members can work on several
// messages at once. With a GroupDriver that is none, a member receives one message at a
// time, however many it asks for.
type WindowGroupDriver interface {
	// GroupWindow returns a subscriber in the named group that hands out up to inFlight
	// messages, at least 1, before the first of them is acked or nacked. It hands them
	// out in the bus's order. A message that is nacked comes again after a pause, and
	// those behind it do not wait for it. The caller closes the subscriber; messages
	// that are not acked by then are given to another member, where the broker keeps
	// them.
	GroupWindow(name string, inFlight int) (message.Subscriber, error)
}

// A Trimmer is a [Driver] whose log grows until somebody trims it. [Transport]
// calls Trim now and then for each topic that it follows or has published to.
// If a driver is no Trimmer, the Transport assumes that the broker trims.
type Trimmer interface {
	// Trim drops what is older than the retention the driver was opened with.
	Trim(ctx context.Context, topic string) error
}

// A ConsumedTrimmer is a [Trimmer] whose broker knows what consumer groups have
// done with a topic. With a driver that is none, inbound topics are trimmed by
// age alone, and [InboundLimits] limit nothing.
type ConsumedTrimmer interface {
	// TrimConsumed drops from an inbound topic what every one of its consumer
	// groups has acked, and what is older than the retention. What a group has
	// not acked, or not seen yet, stays; without groups nothing is consumed. It
	// returns how old the oldest entry left is, at most the retention; 0 if none
	// is left.
	TrimConsumed(ctx context.Context, topic string) (oldest time.Duration, err error)
}

// A Retainer is a [Trimmer] that knows whether its retention was configured. A
// process that only publishes (see [Config]) trims only if it was: the default
// could be shorter than what the nodes were told to keep. With a driver that is
// no Retainer such a process does not trim what it publishes to.
type Retainer interface {
	// RetentionAsked reports whether the URL or the settings of the driver name a
	// retention.
	RetentionAsked() bool
}
