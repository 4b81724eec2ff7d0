package ws

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/internal/defaults"
	"github.com/fanfarebus/fanfare/ports/session"
)

// The defaults of [Config]. Rates are per second.
const (
	DefaultMessageBytes = 64 << 10
	DefaultOutboxBytes  = 64 << 10
	DefaultOutboxFrames = 1024

	DefaultSessionMessages = 50
	DefaultSessionBytes    = 256 << 10
	DefaultUserMessages    = 200     // or four sessions' worth, if that is more
	DefaultUserBytes       = 1 << 20 // likewise
	DefaultControlRate     = 10

	DefaultStall     = 20 * time.Second
	DefaultPing      = 25 * time.Second
	DefaultPongWait  = 60 * time.Second
	DefaultPublish   = 2 * time.Second
	DefaultCloseWait = 5 * time.Second
)

// Config holds what may differ between nodes. Its zero value is usable: [New]
// gives every field that is zero its default.
type Config struct {
	MessageBytes int // most bytes of data that a client sends at once
	OutboxBytes  int // most bytes of an outbox
	OutboxFrames int // most frames of an outbox

	SessionRate session.Rate // of what one session sends
	UserRate    session.Rate // of what all sessions of one user send
	FrameRate   float64      // data frames a second of one session; default 10 a message
	ControlRate float64      // pings and pongs a second of one session

	Stall     time.Duration // time without progress after which a write ends the session
	Ping      time.Duration // between pings
	PongWait  time.Duration // silence that ends the session
	Publish   time.Duration // for one publish, or the check of one token
	CloseWait time.Duration // for a closing session to flush its outbox and to answer
}

func (c Config) withDefaults() Config {
	defaults.Set(&c.MessageBytes, DefaultMessageBytes)
	defaults.Set(&c.OutboxBytes, DefaultOutboxBytes)
	defaults.Set(&c.OutboxFrames, DefaultOutboxFrames)
	one, user := &c.SessionRate, &c.UserRate
	defaults.Set(&one.Messages, DefaultSessionMessages)
	defaults.Set(&one.Bytes, DefaultSessionBytes)
	defaults.Set(&user.Messages, max(DefaultUserMessages, 4*one.Messages))
	defaults.Set(&user.Bytes, max(DefaultUserBytes, 4*one.Bytes))
	defaults.Set(&c.FrameRate, 10*one.Messages)
	defaults.Set(&c.ControlRate, DefaultControlRate)
	defaults.Set(&c.Stall, DefaultStall)
	defaults.Set(&c.Ping, DefaultPing)
	defaults.Set(&c.PongWait, DefaultPongWait)
	defaults.Set(&c.Publish, DefaultPublish)
	defaults.Set(&c.CloseWait, DefaultCloseWait)
	return c
}

// Validate returns an error that names everything that is wrong with the
// settings. Zero values are right, since they stand for the defaults.
func (c Config) Validate() error {
	var faults []error
	for name, n := range map[string]int{
		"message_bytes": c.MessageBytes, "outbox_bytes": c.OutboxBytes,
		"outbox_frames": c.OutboxFrames,
	} {
		if n < 0 {
			faults = append(faults, fmt.Errorf("ws: %s: want at least 1, got %d", name, n))
		}
	}
	for name, r := range map[string]session.Rate{"session": c.SessionRate, "user": c.UserRate} {
		if err := r.Check(); err != nil {
			faults = append(faults, fmt.Errorf("ws: %s rate: %w", name, err))
		}
	}
	if c.FrameRate < 0 || c.ControlRate < 0 {
		faults = append(faults, errors.New("ws: frame and control rate: must not be negative"))
	}
	for name, d := range map[string]time.Duration{
		"stall": c.Stall, "ping": c.Ping, "pong wait": c.PongWait,
		"publish": c.Publish, "close wait": c.CloseWait,
	} {
		if d < 0 {
			faults = append(faults, fmt.Errorf("ws: %s: must not be negative, got %v", name, d))
		}
	}
	pong, ping := cmp.Or(c.PongWait, DefaultPongWait), cmp.Or(c.Ping, DefaultPing)
	if pong <= ping {
		faults = append(faults, fmt.Errorf(
			"ws: pong wait %v must be longer than the ping period %v", pong, ping))
	}
	return errors.Join(faults...)
}
