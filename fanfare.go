// Package fanfare pushes messages to people, over whatever bus a team runs.
//
// A WebSocket session lives in one process. A service that has something to
// tell a user cannot know which of several nodes holds that user's sessions,
// so it does not ask: it publishes once, to the topic of its system, and every
// node hears it. The node that holds a session of the user delivers; the
// others let it pass.
//
// A Node is such a node: an http.Handler to mount, or the whole of the
// fanfare binary. A Publisher is the other end, for services written in Go;
// services in other languages publish with the bus's own client, or over HTTP.
//
// What is guaranteed on which transport stands in the README and, for each
// part, in the documentation of its package: domain/stream for delivery and
// resume, adapters/transport for the bus, ports/ws for sessions.
package fanfare

import (
	"context"
	"log/slog"
	"maps"
	"net/http"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/jetstream"
	"github.com/fanfarebus/fanfare/adapters/kafka"
	"github.com/fanfarebus/fanfare/adapters/loglimit"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/natscore"
	"github.com/fanfarebus/fanfare/adapters/redispubsub"
	"github.com/fanfarebus/fanfare/adapters/redisstream"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/watermillbus"
)

// Openers returns the transports that come with Fanfare, by URL scheme.
func Openers() transport.Openers {
	all := make(transport.Openers)
	for _, driver := range []transport.Openers{
		jetstream.Openers(), kafka.Openers(), memory.Openers(),
		natscore.Openers(), redispubsub.Openers(), redisstream.Openers(),
	} {
		maps.Copy(all, driver)
	}
	return all
}

// An Option changes what New and NewPublisher make.
type Option func(*options)

type options struct {
	log     *slog.Logger
	openers transport.Openers
	driver  transport.Driver
	version string

	publishOnly bool // NewPublisher's: no sessions here
}

func newOptions(opts []Option) options {
	o := options{log: slog.New(slog.DiscardHandler), openers: Openers(), version: "devel"}
	for _, set := range opts {
		set(&o)
	}
	o.log = slog.New(loglimit.New(o.log.Handler()))
	return o
}

// WithLogger lets a node log. Without it, it is silent. Of each kind of line a
// bounded number passes, since clients can cause some of them; package loglimit
// says how many.
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// WithOpeners replaces the transports that URLs can name.
func WithOpeners(all transport.Openers) Option { return func(o *options) { o.openers = all } }

// WithDriver gives the bus itself, instead of Config.Transport's URL: two nodes
// of one process can share a memory.Bus so. It is closed with the node.
func WithDriver(d transport.Driver) Option { return func(o *options) { o.driver = d } }

// WithPubSub gives a Watermill Publisher and Subscriber as the bus, instead of
// Config.Transport's URL; they may be one value, and are closed with the node.
// Each node needs a Subscriber that gets every message: none that shares a queue
// with another node's. Package watermillbus says what such a bus can promise and
// what it cannot notice; cfg is what this one does. NewPublisher needs no
// Subscriber: nil will do.
func WithPubSub(pub message.Publisher, sub message.Subscriber, cfg watermillbus.Config) Option {
	return WithDriver(watermillbus.New(pub, sub, cfg))
}

// WithVersion names the software in the API's documentation and the metrics.
func WithVersion(version string) Option { return func(o *options) { o.version = version } }

// New makes a node. It opens its bus, but does not wait for it: a bus that is
// down is no reason not to start. What is wrong with cfg comes as one error
// that names every fault. Call Run to start it, or Close to let it go.
func New(ctx context.Context, cfg Config, opts ...Option) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g, cleanup, err := assemble(ctx, cfg.withDefaults(), newOptions(opts))
	if err != nil {
		return nil, err
	}
	g.release = cleanup
	return g, nil
}

var _ http.Handler = (*Node)(nil)
