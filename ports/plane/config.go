package plane

import (
	"log/slog"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/domain/control"
	"github.com/fanfarebus/fanfare/internal/defaults"
)

// What a [Config] has where nothing else is said.
const (
	DefaultInterval       = 100 * time.Millisecond
	DefaultPublishTimeout = 800 * time.Millisecond
	DefaultReadyWithin    = 5 * time.Second
)

// receivingFactor is how many times Config.ReadyWithin a node waits for facts at most, while
// they come.
const receivingFactor = 6

// Bounds of commands.
const (
	MaxWait  = 30 * time.Second // the longest that a command waits for other nodes
	MaxWaits = 1000             // commands that wait at once
)

// Config says how a [Plane] is. Control.Node is required; Control.Incarnation is made if
// it is "".
type Config struct {
	Control control.Config
	Topics  domain.Topics // what the topics are called

	// Answerers are what the node answers when nodes ask each other; default: none yet. See
	// [Plane.Handle].
	Answerers *Answerers

	// Deaf reports whether what is published on a topic does not come here, though the
	// bus answers, so that [Plane.Trouble] can say it; nil: nobody knows. It is called by
	// several goroutines.
	Deaf func(topic string) bool

	// Interval is the least time from one message to the next, and the time from one
	// [control.Machine.Tick] to the next; default DefaultInterval. While another node waits
	// for facts, messages follow one another four times as fast.
	Interval time.Duration
	// PublishTimeout is how long a command waits for the bus to take it, and how long
	// the last message may take when the node ends; default DefaultPublishTimeout. The
	// [Publisher] bounds each publish by itself.
	PublishTimeout time.Duration
	// ReadyWithin bounds the time for which [Plane.Ready] is false; default
	// DefaultReadyWithin. While the facts are coming that another node has, it may take six
	// times as long.
	ReadyWithin time.Duration

	Logger *slog.Logger // default: discard
}

func (c Config) withDefaults() Config {
	defaults.Set(&c.Interval, DefaultInterval)
	defaults.Set(&c.PublishTimeout, DefaultPublishTimeout)
	defaults.Set(&c.ReadyWithin, DefaultReadyWithin)
	defaults.Set(&c.Control.Refresh, control.DefaultRefresh)
	defaults.Set(&c.Control.Heartbeat, control.DefaultHeartbeat)
	defaults.Set(&c.Control.DeadAfter, control.DefaultDeadAfter)
	if c.Control.Incarnation == "" {
		c.Control.Incarnation = domain.NewID()
	}
	if c.Answerers == nil {
		c.Answerers = NewAnswerers(c.Control.Node)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
