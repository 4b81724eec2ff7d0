package stream

import (
	"time"

	"github.com/fanfarebus/fanfare/internal/defaults"
)

// What a [Config] has where nothing else is said.
const (
	DefaultMessages        = 2_000_000
	DefaultAge             = 10 * time.Minute
	DefaultBytes           = 128 << 20
	DefaultDedupeAge       = 2 * time.Minute
	DefaultDedupeSize      = 1 << 18
	DefaultAheadWait       = 10 * time.Second
	DefaultFingerprintWait = time.Second
	DefaultMaxScan         = 1_000_000
)

// Config bounds a [Stream]. The zero Config is good for a test.
type Config struct {
	Messages int           // most entries in the window; default DefaultMessages
	Age      time.Duration // of the oldest entry in the window; default DefaultAge
	Budget   *Budget       // of the node's streams together; default one of its own, of DefaultBytes

	DedupeAge  time.Duration // how long a repetition is recognised; default DefaultDedupeAge
	DedupeSize int           // most ids that are remembered for that; default DefaultDedupeSize

	// AheadWait is for how long a cursor is believed that is ahead of the
	// stream, while the bus is up; default DefaultAheadWait.
	AheadWait time.Duration
	// FingerprintWait is for how long after its time a fingerprint that another
	// node gave is waited for; default DefaultFingerprintWait.
	FingerprintWait time.Duration

	// Backlog, if set, lets sessions resume from the log what the window no longer
	// has: the budget bounds what was read again and waits for sessions that take
	// it slowly, for all streams of the node together. The feed of the stream must
	// then serve [Stream.NextBackfill] and [Stream.NextLookup].
	Backlog *Budget
	MaxScan int    // entries that are read again in one turn; default DefaultMaxScan
	Reads   *Reads // for whom logs are read again, of the node's streams together; default its own

	// Traced lets [Stream.Step] count the sessions of messages whose traces are sampled.
	Traced bool
	HasLog bool             // entries come with positions of a log
	Now    func() time.Time // default time.Now
}

func (c Config) withDefaults() Config {
	defaults.Set(&c.Messages, DefaultMessages)
	defaults.Set(&c.Age, DefaultAge)
	defaults.Set(&c.DedupeAge, DefaultDedupeAge)
	defaults.Set(&c.DedupeSize, DefaultDedupeSize)
	defaults.Set(&c.AheadWait, DefaultAheadWait)
	defaults.Set(&c.FingerprintWait, DefaultFingerprintWait)
	defaults.Set(&c.MaxScan, DefaultMaxScan)
	if c.Budget == nil {
		c.Budget = NewBudget(DefaultBytes)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Reads == nil {
		c.Reads = NewReads(c.MaxScan, c.Now)
	}
	return c
}
