package transport

import (
	"log/slog"
	"time"

	"github.com/fanfarebus/fanfare/internal/defaults"
)

// The defaults of a [Config].
const (
	DefaultPublishTimeout = 800 * time.Millisecond
	DefaultFollowTimeout  = 5 * time.Second
	DefaultRetryMin       = 50 * time.Millisecond
	DefaultRetryMax       = 2 * time.Second
	DefaultPublishQueue   = 8192
	DefaultTrimEvery      = 30 * time.Second
	DefaultTrimTopics     = 1024
	DefaultDeafAfter      = 5 * time.Second
)

// Config tunes a [Transport]. The zero Config is good: every number and duration
// that is not positive gets its default.
type Config struct {
	// PublishTimeout bounds a publish, queueing included.
	PublishTimeout time.Duration
	// FollowTimeout bounds one attempt to subscribe, or to subscribe again.
	FollowTimeout time.Duration
	// RetryMin is the first pause after a failure to subscribe again, and
	// RetryMax the longest one. Pauses double, and are jittered.
	RetryMin, RetryMax time.Duration
	// PublishQueue is the most messages that wait in one pipeline. Topics are
	// shared out among 16 pipelines.
	PublishQueue int
	// TrimEvery is how often each log is trimmed; jittered.
	TrimEvery time.Duration
	// TrimTopics is the most topics that are trimmed though nobody here follows
	// them, because they were published to.
	TrimTopics int
	// DeafAfter is how long a subscription may lag behind the log before the
	// Transport counts as deaf.
	DeafAfter time.Duration
	// PublishOnly says that the process holds no sessions. It knows how long the
	// nodes want the bus to keep what it carries only if its driver was told: else
	// it does not trim what it publishes to. See [Retainer].
	PublishOnly bool
	// NoNumbers turns off package sequence on a bus without a log: messages are
	// not numbered, and numbers in them mean nothing. It is for topics that others
	// defined.
	NoNumbers bool
	// Published is called after each publish of which the broker has taken all, with
	// how long that took, waiting in the queue included; nil: nobody wants to know. It
	// is called by many goroutines at once, and must not block.
	Published func(took time.Duration)
	// Logger is nil for no log.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	defaults.Set(&c.PublishTimeout, DefaultPublishTimeout)
	defaults.Set(&c.FollowTimeout, DefaultFollowTimeout)
	defaults.Set(&c.RetryMin, DefaultRetryMin)
	defaults.Set(&c.RetryMax, DefaultRetryMax)
	c.RetryMax = max(c.RetryMax, c.RetryMin)
	defaults.Set(&c.PublishQueue, DefaultPublishQueue)
	defaults.Set(&c.TrimEvery, DefaultTrimEvery)
	defaults.Set(&c.TrimTopics, DefaultTrimTopics)
	defaults.Set(&c.DeafAfter, DefaultDeafAfter)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
