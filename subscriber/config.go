package subscriber

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/fanfarebus/fanfare/adapters/loglimit"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/defaults"
)

// Defaults of a [Config].
const (
	DefaultTopic       = "fanfare.{system}"
	DefaultInFlight    = 256
	DefaultConcurrency = 16
	DefaultRetryMin    = 100 * time.Millisecond
	DefaultRetryMax    = 30 * time.Second
)

// MaxInFlight is the most that Config.InFlight may be.
const MaxInFlight = 10_000

// A Config tunes a Subscriber. The zero Config is good.
type Config struct {
	// Topic is the template of topic names. It holds {system} exactly once, and is
	// the same as in the nodes' settings. Default: DefaultTopic.
	Topic string
	// InFlight is how many messages of one system may be taken from the bus and not
	// acked yet. Default: DefaultInFlight.
	InFlight int
	// Concurrency is how many handlers run at once for one system. Default:
	// DefaultConcurrency.
	Concurrency int
	// RetryMin is the pause after the first failure of a handler, RetryMax the longest
	// one. Pauses double, and are shortened at random by up to a half. Defaults:
	// DefaultRetryMin, DefaultRetryMax.
	RetryMin, RetryMax time.Duration
	// Poison is called with what cannot be decoded. If it returns an error, it is
	// called again later with the same. It may be called concurrently. By default
	// such a message is counted, logged and acked.
	Poison func(ctx context.Context, p Poison) error
	// Logger takes what is logged, such as that handlers fail. The default writes
	// nothing.
	Logger *slog.Logger
}

// A Bus is what a Subscriber receives from; [*transport.Transport] is one.
type Bus interface {
	message.Subscriber // for Subscribers without a group
	GroupWindow(group string, inFlight int) (message.Subscriber, error)
	Guarantees() transport.Guarantees
}

func (c Config) withDefaults() Config {
	defaults.Set(&c.Topic, DefaultTopic)
	defaults.Set(&c.InFlight, DefaultInFlight)
	defaults.Set(&c.Concurrency, DefaultConcurrency)
	defaults.Set(&c.RetryMin, DefaultRetryMin)
	defaults.Set(&c.RetryMax, max(DefaultRetryMax, c.RetryMin))
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = slog.New(loglimit.New(c.Logger.Handler()))
	return c
}

// Validate says what is wrong with the settings.
func (c Config) Validate() error {
	topic := c.Topic
	defaults.Set(&topic, DefaultTopic)
	_, err := domain.ParseTopics(topic)
	for _, number := range []struct {
		name  string
		value int64
	}{
		{"InFlight", int64(c.InFlight)},
		{"Concurrency", int64(c.Concurrency)},
		{"RetryMin", int64(c.RetryMin)},
		{"RetryMax", int64(c.RetryMax)},
	} {
		if number.value < 0 {
			err = errors.Join(err, fmt.Errorf("subscriber: %s must not be negative", number.name))
		}
	}
	if c.InFlight > MaxInFlight {
		err = errors.Join(err, fmt.Errorf("subscriber: InFlight may be at most %d", MaxInFlight))
	}
	return err
}

// NewWithConfig is [New] with settings.
func NewWithConfig(
	ctx context.Context, url, group string, cfg Config, drivers ...transport.Openers,
) (*Subscriber, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if n := len(dsn.SplitURLs(url)); n > 1 {
		return nil, fmt.Errorf("subscriber: want one URL, got %d: while a bus is moved, "+
			"have a Subscriber on each, see docs/moving.md", n)
	}
	openers := make(transport.Openers)
	for _, driver := range drivers {
		maps.Copy(openers, driver)
	}
	bus, err := openers.Open(ctx, url, transport.Config{PublishOnly: true, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	s, err := NewOnBus(bus, group, cfg)
	if err != nil {
		return nil, errors.Join(err, bus.Close())
	}
	s.closeBus = bus.Close
	return s, nil
}

// NewOnDriver returns a Subscriber on a bus that a driver already stands for: one in memory
// that a node shares, or one of your own. Closing the Subscriber closes the driver.
func NewOnDriver(d transport.Driver, group string, cfg Config) (*Subscriber, error) {
	bus := transport.New(d, transport.Config{PublishOnly: true, Logger: cfg.Logger})
	s, err := NewOnBus(bus, group, cfg)
	if err != nil {
		return nil, errors.Join(err, bus.Close())
	}
	s.closeBus = bus.Close
	return s, nil
}

// NewOnBus returns a Subscriber on a bus that is open. Closing the Subscriber does not
// close the bus: it may be a node's.
func NewOnBus(bus Bus, group string, cfg Config) (*Subscriber, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := checkGroup(group); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	topics, err := domain.ParseTopics(cfg.Topic)
	if err != nil {
		return nil, err
	}
	s := &Subscriber{
		bus: bus, group: group, topics: topics, cfg: cfg,
		closeBus: func() error { return nil },
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// checkGroup refuses names of groups that some bus could not have.
func checkGroup(name string) error {
	if len(name) > 128 {
		return &domain.FieldError{Path: "group", Problem: "want at most 128 characters"}
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '_' && c != '.' {
			return &domain.FieldError{Path: "group", Problem: "use letters, digits, -, _ and ."}
		}
	}
	return nil
}
