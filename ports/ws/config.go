package ws

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/ports/session"
)

// Config holds what may differ between nodes. Its zero value is usable; New
// fills in the defaults named here.
type Config struct {
	MessageBytes int // most bytes of data that a client sends at once; default 64 KiB
	OutboxBytes  int // most bytes of an outbox; default 64 KiB
	OutboxFrames int // most frames of an outbox; default 1024

	SessionRate session.Rate // what one session may send; default 50/s and 256 KiB/s
	UserRate    session.Rate // what one user may send; default 200/s, 1 MiB/s, or four sessions' worth
	FrameRate   float64      // parts of messages a second from one session; default 10 a message
	ControlRate float64      // pings and pongs a second from one session; default 10

	Stall     time.Duration // a write without progress ends the session; default 20 s
	Ping      time.Duration // between pings; default 25 s
	PongWait  time.Duration // silence that ends the session; default 60 s
	Handshake time.Duration // for the answer to a handshake; default 10 s
	Publish   time.Duration // for one publish of a client; default 2 s
	CloseWait time.Duration // for a closing session to flush and answer; default 5 s
}

func (c Config) withDefaults() Config {
	number := func(p *int, fallback int) {
		if *p == 0 {
			*p = fallback
		}
	}
	number(&c.MessageBytes, 64<<10)
	number(&c.OutboxBytes, 64<<10)
	number(&c.OutboxFrames, 1024)

	c.SessionRate = c.SessionRate.Or(session.Rate{Messages: 50, Bytes: 256 << 10})
	c.UserRate = c.UserRate.Or(session.Rate{
		Messages: max(200, 4*c.SessionRate.Messages), Bytes: max(1<<20, 4*c.SessionRate.Bytes)})
	c.FrameRate = cmp.Or(c.FrameRate, 10*c.SessionRate.Messages)
	c.ControlRate = cmp.Or(c.ControlRate, 10)

	span := func(p *time.Duration, fallback time.Duration) {
		if *p == 0 {
			*p = fallback
		}
	}
	span(&c.Stall, 20*time.Second)
	span(&c.Ping, 25*time.Second)
	span(&c.PongWait, 60*time.Second)
	span(&c.Handshake, 10*time.Second)
	span(&c.Publish, 2*time.Second)
	span(&c.CloseWait, 5*time.Second)
	return c
}

// Validate says everything that is wrong with the settings; zero values are
// right.
func (c Config) Validate() error {
	c = c.withDefaults()
	var faults []error
	for name, n := range map[string]int{
		"message_bytes": c.MessageBytes, "outbox_bytes": c.OutboxBytes, "outbox_frames": c.OutboxFrames,
	} {
		if n < 1 {
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
		"stall": c.Stall, "ping": c.Ping, "pong wait": c.PongWait, "handshake": c.Handshake,
		"publish": c.Publish, "close wait": c.CloseWait,
	} {
		if d < 0 {
			faults = append(faults, fmt.Errorf("ws: %s: must not be negative, got %v", name, d))
		}
	}
	if c.PongWait <= c.Ping {
		faults = append(faults, fmt.Errorf("ws: pong wait %v must be longer than the ping period %v", c.PongWait, c.Ping))
	}
	return errors.Join(faults...)
}
