package fanfare

import (
	"context"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/subscriber"
)

// A Subscriber receives what users send to systems, and events about users: that of package
// subscriber.
type Subscriber = subscriber.Subscriber

// An InboundMessage is something that a user has sent to a system: that of package subscriber.
type InboundMessage = subscriber.Message

// An Event says that something happened to a system's users: that of package subscriber.
type Event = subscriber.Event

// A RetryError says when a handler wants a message again: that of package subscriber.
type RetryError = subscriber.RetryError

// NewSubscriber opens the bus at a URL as a member of a consumer group, such as the name of
// your service, whose members share what users send. [subscriber.New] says what a group is,
// and what it means to have none ("").
//
//	s, err := fanfare.NewSubscriber(ctx, "redis-streams://localhost:6379/0", "chat-service")
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	return s.Inbound(ctx, func(ctx context.Context, m *fanfare.InboundMessage) error {
//		return store.Append(ctx, m.User, m.Data)
//	}, "chat")
//
// NewSubscriber knows the schemes of all drivers that come with Fanfare, so all of them are
// compiled. A program with subscriber.New compiles those that it names. Options that matter
// here are [WithLogger], [WithTopic], [WithOpeners], [WithDriver] and [WithPubSub].
func NewSubscriber(ctx context.Context, url, group string, opts ...Option) (*Subscriber, error) {
	o := newOptions(opts)
	sc := subscriber.Config{Topic: o.topic, Logger: o.log}
	if o.driver == nil {
		return subscriber.NewWithConfig(ctx, url, group, sc, o.openers)
	}
	return subscriber.NewOnDriver(o.driver, group, sc)
}

// WithTopic gives [NewSubscriber] and [NewWebhooks] the template of topic names, as in the
// nodes' settings. Without this option it is fanfare.{system}. A node has it in its Config.
func WithTopic(template string) Option { return func(o *options) { o.topic = template } }

var _ subscriber.Bus = (*transport.Transport)(nil)
