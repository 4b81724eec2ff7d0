package api

import (
	"log/slog"
	"time"

	"github.com/fanfarebus/fanfare/domain/stream"
	"github.com/fanfarebus/fanfare/internal/defaults"
)

// The defaults of [Config].
const (
	DefaultMessageBytes = 64 << 10
	DefaultBodyBytes    = 4 << 20 // more if one message of Config.MessageBytes could need it
	DefaultBatch        = 1000
	DefaultBodies       = 128 << 20
	DefaultBodiesPerKey = 64 << 20
	DefaultAnswerTime   = 10 * time.Second
	DefaultBodyTime     = 30 * time.Second
	DefaultBodyStall    = 5 * time.Second
)

// Config holds what may differ between nodes. Its zero value is usable: [New] gives
// every field that is zero or negative its default.
type Config struct {
	MessageBytes int    // most bytes of a message's data
	BodyBytes    int64  // most bytes of a request's body
	Batch        int    // most messages in a request
	Version      string // of the software, for the documentation; "dev" by default
	Logger       *slog.Logger

	// Control is the node's part in the control plane; nil: it is off, and the routes of
	// [API.Controlling] answer 501.
	Control Control
	// Asker asks all nodes for the routes that need it; nil: nobody answers.
	Asker Asker
	// Viewer shows what the node reads; nil: it cannot be watched.
	Viewer Viewer

	// History reads what messages were; nil: the routes of [API.Remembering] answer 501.
	// Encoder writes its messages, as clients of sessions see them, and Greedy says which of
	// its errors mean that one asker has too much read. Clientele knows who has no API key;
	// nil: nobody but those who have one is known.
	History   History
	Encoder   stream.Encoder
	Greedy    func(error) bool
	Clientele Clientele

	// Bodies and BodiesPerKey are how many bytes the bodies of requests in flight may
	// take, of all publishers and of each API key. They are raised to what a single
	// request may need.
	Bodies, BodiesPerKey int64

	AnswerTime time.Duration // a client's to read an answer
	BodyTime   time.Duration // a publisher's to send a body
	BodyStall  time.Duration // most time of it in which nothing comes
}

func (c Config) withDefaults() Config {
	defaults.Set(&c.MessageBytes, DefaultMessageBytes)
	// Data grows when it is escaped or written in base64; targets and headers come on
	// top.
	defaults.Set(&c.BodyBytes, max(DefaultBodyBytes, 3*int64(c.MessageBytes)+1<<20))
	defaults.Set(&c.Batch, DefaultBatch)
	defaults.Set(&c.Bodies, DefaultBodies)
	defaults.Set(&c.BodiesPerKey, DefaultBodiesPerKey)
	defaults.Set(&c.AnswerTime, DefaultAnswerTime)
	defaults.Set(&c.BodyTime, DefaultBodyTime)
	defaults.Set(&c.BodyStall, DefaultBodyStall)
	defaults.Set(&c.Version, "dev")
	if c.Asker == nil {
		c.Asker = nobody{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	// A request that is alone must always be possible. It takes its body, twice that
	// while the buffer grows, and what its messages take beside it.
	alone := (2 + parsed) * c.BodyBytes
	c.Bodies = max(c.Bodies, alone)
	c.BodiesPerKey = max(c.BodiesPerKey, alone)
	return c
}
