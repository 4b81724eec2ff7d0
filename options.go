package fanfare

import (
	"log/slog"
	"maps"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel/trace"

	"github.com/fanfarebus/fanfare/adapters/jetstream"
	"github.com/fanfarebus/fanfare/adapters/kafka"
	"github.com/fanfarebus/fanfare/adapters/loglimit"
	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/natscore"
	"github.com/fanfarebus/fanfare/adapters/redispubsub"
	"github.com/fanfarebus/fanfare/adapters/redisstream"
	"github.com/fanfarebus/fanfare/adapters/tracing"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/watermillbus"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/metric"
	"github.com/fanfarebus/fanfare/ports/session"
)

// Openers returns the transports that come with Fanfare, by the scheme of the
// URLs that name them. The map belongs to the caller.
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

// An Option changes what [New], [NewPublisher], [NewSubscriber], [NewWebhooks] and
// [NewMigration] make.
type Option func(*options)

type options struct {
	log     *slog.Logger
	openers transport.Openers
	driver  transport.Driver
	version string
	topic   string // of WithTopic

	traces    trace.TracerProvider                      // of WithTracerProvider; nil: no traces
	login     func(session.Login) (domain.Grant, error) // of WithAuthenticator
	published *metric.Histogram                         // how long publishes have taken

	publishOnly bool // set by NewPublisher, which holds no sessions
}

func newOptions(opts []Option) options {
	o := options{log: slog.New(slog.DiscardHandler), openers: Openers(), version: "devel",
		published: new(metric.Histogram)}
	for _, set := range opts {
		set(&o)
	}
	o.log = slog.New(loglimit.New(o.log.Handler()))
	return o
}

// WithLogger lets a node log. Without this option it is silent. Since clients
// can cause some lines, of each kind of line only a bounded number passes;
// package loglimit says how many.
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// WithOpeners replaces the transports that URLs can name, which are those of
// [Openers] without this option.
func WithOpeners(all transport.Openers) Option { return func(o *options) { o.openers = all } }

// WithDriver gives the bus itself, instead of the URL in [Config].Transport. So
// two nodes of one process can share a memory.Bus. The driver is closed together
// with what is made with it. [NewMigration], which has two buses, ignores it.
func WithDriver(d transport.Driver) Option { return func(o *options) { o.driver = d } }

// WithPubSub gives a Watermill Publisher and Subscriber as the bus, instead of
// the URL in [Config].Transport. They may be one value, and are closed together
// with what is made with them. Each node needs a Subscriber that gets every
// message, so none that shares a queue with another node's. Package watermillbus
// says what such a bus can promise and what it cannot notice; cfg says what this
// one does. [NewPublisher] needs no Subscriber: nil will do.
func WithPubSub(pub message.Publisher, sub message.Subscriber, cfg watermillbus.Config) Option {
	return WithDriver(watermillbus.New(pub, sub, cfg))
}

// WithVersion names the software in the documentation of the API and in the
// metrics. Without this option it is "devel".
func WithVersion(version string) Option { return func(o *options) { o.version = version } }

// WithTracerProvider makes OpenTelemetry spans: one of each publish, and one of each message
// that a node has read and whose trace is sampled. Package tracing describes them. The
// provider remains the caller's. Without this option there are no spans, and messages only
// carry the traceparents that they were published with. [NewSubscriber] and [NewWebhooks]
// make no spans.
func WithTracerProvider(p trace.TracerProvider) Option { return func(o *options) { o.traces = p } }

// tracer returns what makes the spans of a node, or of what only publishes if node is
// empty; nil for none.
func (o *options) tracer(node string) domain.Tracer {
	if o.traces == nil {
		return nil
	}
	return tracing.New(o.traces, o.version, node)
}
