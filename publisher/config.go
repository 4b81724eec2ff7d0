package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/defaults"
)

// DefaultTopic is the template of topic names if Config.Topic is empty.
const DefaultTopic = "fanfare.{system}"

// A Config tunes a Publisher. The zero Config is good.
type Config struct {
	// Topic is the template of topic names. It holds {system} exactly once, and is
	// the same as in the nodes' settings. Default: DefaultTopic.
	Topic string
	// PublishTimeout bounds a Publish, waiting in the queue included. Default:
	// transport.DefaultPublishTimeout, which is 800 ms.
	PublishTimeout time.Duration
	// PublishQueue is how many messages may wait in one of the 16 queues that topics
	// share; beyond it Publish fails with ErrLimit. A topic always uses the same
	// queue. Default: transport.DefaultPublishQueue, which is 8192.
	PublishQueue int
	// MessageBytes is the most data that a message may have; more is ErrTooLarge.
	// Default: any size that the bus takes.
	MessageBytes int
	// Tracer, if set, makes a span of each Publish, whose parent is the span in its
	// context, and names it in the messages. Package adapters/tracing makes a Tracer of an
	// OpenTelemetry TracerProvider. Without one, only Message.Traceparent is sent.
	Tracer domain.Tracer
	// Logger takes what the bus logs, such as that publishing failed. The default
	// writes nothing. The drivers of Redis use go-redis, which has one logger for the
	// whole process, and that one writes to stderr while Redis is down; a program
	// silences it with redis.SetLogger of github.com/redis/go-redis/v9.
	Logger *slog.Logger
}

// A Bus is what a Publisher publishes on; [*transport.Transport] is one.
type Bus interface {
	transport.ContextPublisher
	Close() error
}

// Validate says what is wrong with the settings.
func (c Config) Validate() error {
	_, err := c.topics()
	for _, number := range []struct {
		name  string
		value int64
	}{
		{"PublishTimeout", int64(c.PublishTimeout)},
		{"PublishQueue", int64(c.PublishQueue)},
		{"MessageBytes", int64(c.MessageBytes)},
	} {
		if number.value < 0 {
			err = errors.Join(err, fmt.Errorf("publisher: %s must not be negative", number.name))
		}
	}
	return err
}

// NewWithConfig is [New] with settings.
func NewWithConfig(
	ctx context.Context, url string, cfg Config, drivers ...transport.Openers,
) (*Publisher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(drivers) == 0 {
		return nil, errors.New("publisher: no driver was given: " +
			"want publisher.New(ctx, url, " + exampleDriver + ")")
	}
	if n := len(dsn.SplitURLs(url)); n > 1 {
		return nil, fmt.Errorf("publisher: want one URL, got %d: while a bus is moved, "+
			"a publisher is on the old one or on the new one, see docs/moving.md", n)
	}
	openers := make(transport.Openers)
	for _, driver := range drivers {
		maps.Copy(openers, driver)
	}
	bus, err := openers.Open(ctx, url, cfg.transport())
	if errors.Is(err, transport.ErrUnknownScheme) {
		scheme, _, _ := strings.Cut(strings.TrimSpace(url), "://")
		return nil, fmt.Errorf("%w%s", err, hint(scheme, openers))
	}
	if err != nil {
		return nil, err
	}
	return NewOnBus(bus, cfg)
}

// NewOnDriver returns a Publisher on a bus that a driver already stands for: one in
// memory that a node shares, or one of your own. Closing the Publisher closes the
// driver.
func NewOnDriver(d transport.Driver, cfg Config) (*Publisher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return NewOnBus(transport.New(d, cfg.transport()), cfg)
}

// NewOnBus returns a Publisher on a bus that is open. Closing the Publisher closes
// the bus. Only Topic, MessageBytes and Tracer of the settings count: PublishTimeout,
// PublishQueue and Logger were settings of the bus when it was opened.
func NewOnBus(bus Bus, cfg Config) (*Publisher, error) {
	topics, err := cfg.topics()
	if err != nil {
		return nil, err
	}
	out := transport.NewEnvelopePublisher(bus, topics, cfg.MessageBytes)
	if cfg.Tracer != nil {
		out.Trace(cfg.Tracer)
	}
	return &Publisher{out: out, bus: bus}, nil
}

func (c Config) topics() (domain.Topics, error) {
	defaults.Set(&c.Topic, DefaultTopic)
	return domain.ParseTopics(c.Topic)
}

// transport returns the settings as a Transport takes them; it has the defaults.
func (c Config) transport() transport.Config {
	return transport.Config{
		PublishTimeout: c.PublishTimeout,
		PublishQueue:   c.PublishQueue,
		PublishOnly:    true,
		Logger:         c.Logger,
	}
}
