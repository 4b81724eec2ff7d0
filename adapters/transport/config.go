package transport

import (
	"log/slog"
	"time"
)

// Config tunes a Transport. The zero Config is good.
type Config struct {
	PublishTimeout time.Duration // bounds a publish, queueing included; default 800 ms
	FollowTimeout  time.Duration // bounds one attempt to (re)subscribe; default 5 s
	RetryMin       time.Duration // first pause after a failure, jittered; default 50 ms
	RetryMax       time.Duration // longest pause; default 2 s
	PublishQueue   int           // most messages waiting in line for one topic's pipeline; default 8192
	TrimEvery      time.Duration // how often a log is trimmed, jittered; default 30 s
	TrimTopics     int           // most topics that are trimmed but only published to; default 1024
	DeafAfter      time.Duration // how long a subscription may be behind before the Transport is deaf; default 5 s
	// PublishOnly: the process holds no sessions. How long the nodes want the bus
	// to keep what it carries, it knows only if its driver was told: else it does
	// not trim what it publishes to. See Retainer.
	PublishOnly bool
	// NoNumbers: on a bus without a log, messages are not numbered, and numbers
	// mean nothing. It is for topics that others defined.
	NoNumbers bool
	Logger    *slog.Logger // default: discard
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&c.PublishTimeout, 800 * time.Millisecond},
		{&c.FollowTimeout, 5 * time.Second},
		{&c.RetryMin, 50 * time.Millisecond},
		{&c.RetryMax, 2 * time.Second},
		{&c.TrimEvery, 30 * time.Second},
		{&c.DeafAfter, 5 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	c.RetryMax = max(c.RetryMax, c.RetryMin)
	if c.TrimTopics <= 0 {
		c.TrimTopics = 1024
	}
	if c.PublishQueue <= 0 {
		c.PublishQueue = 8192
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
