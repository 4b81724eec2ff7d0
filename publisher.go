package fanfare

import (
	"context"

	"github.com/fanfarebus/fanfare/publisher"
)

// The errors that the errors of Publish wrap. They are those of package publisher.
var (
	ErrInvalid  = publisher.ErrInvalid  // a rule is broken; the text says which and where
	ErrTooLarge = publisher.ErrTooLarge // a message's data is over the limit
	ErrBusDown  = publisher.ErrBusDown  // the bus is down, did not answer in time, or refused
	ErrLimit    = publisher.ErrLimit    // too many messages are waiting to be published
	ErrClosed   = publisher.ErrClosed   // the Publisher or the Node is closed

	ErrBusRefused = publisher.ErrBusRefused // an ErrBusDown: the bus answered that it does not take the message
	ErrBusFull    = publisher.ErrBusFull    // an ErrBusRefused: the bus has no room
)

// A PublishError says how far a publish came: that of package publisher.
type PublishError = publisher.PublishError

// A Message is something to tell users: that of package publisher.
type Message = publisher.Message

// A Published is what is known of messages that were published: that of package publisher.
type Published = publisher.Published

// A Publisher sends messages to systems: that of package publisher.
type Publisher = publisher.Publisher

// NewPublisher opens the bus at a URL, for services that publish and hold no
// sessions. Topic is the template of topic names, as in the nodes' settings; the
// empty one stands for the default, fanfare.{system}.
//
// NewPublisher knows the schemes of all drivers that come with Fanfare, so all of
// them are compiled. A program with [publisher.New] compiles those that it names.
func NewPublisher(ctx context.Context, url, topic string, opts ...Option) (*Publisher, error) {
	o := newOptions(opts)
	o.publishOnly = true
	cfg := Config{Transport: url, Topic: topic}.withDefaults()
	pc := publisher.Config{Topic: cfg.Topic, Tracer: o.tracer("")}
	if err := pc.Validate(); err != nil {
		return nil, err
	}
	b, _, err := openBus(ctx, cfg, o)
	if err != nil {
		return nil, err
	}
	return publisher.NewOnBus(b, pc)
}
