package ws

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Config holds what may differ between nodes. Its zero value is usable; New
// fills in the defaults named here.
type Config struct {
	Node string // this node's name, told in hello

	// Origins are the allowed origins ("https://app.example.com"), or "*" for
	// any. Empty means the host that was asked.
	Origins []string
	// QueryToken allows tokens in the URL's query, where logs may see them.
	QueryToken bool
	// Tokenless says who a client without a token is, or why it is refused. Nil
	// refuses all of them. It is for development.
	Tokenless func(*http.Request) (domain.Grant, error)
	// Proxies are the networks whose X-Forwarded-For is believed.
	Proxies []netip.Prefix

	Systems         int // most systems of a session; default 16
	Rooms           int // most rooms of a session; default 100
	Sessions        int // most sessions of the node; default 100,000
	SessionsPerUser int // most sessions of a user on the node; default 32
	MessageBytes    int // most bytes of what a client sends at once; default 64 KiB
	OutboxBytes     int // most bytes of an outbox; default 64 KiB
	OutboxFrames    int // most frames of an outbox; default 1024

	SessionRate Rate // what one session may send; default 50/s and 256 KiB/s
	UserRate    Rate // what one user may send; default 200/s and 1 MiB/s
	FailureRate Rate // refused connections of one address, Messages only; default 5/s

	Stall     time.Duration // a write without progress ends the session; default 20 s
	Ping      time.Duration // between pings; default 25 s
	PongWait  time.Duration // silence that ends the session; default 60 s
	Idle      time.Duration // between cursor ops to sessions that hear nothing; default 25 s
	Handshake time.Duration // for authentication, and again for the answer; default 10 s
	Publish   time.Duration // for one publish of a client; default 2 s
	CloseWait time.Duration // for a closing session to flush and answer; default 5 s
	Drain     time.Duration // over which Drain closes the sessions; default 20 s
	RetrySpan time.Duration // goaway's retry delays are spread over it; default 3 s
}

// A Rate bounds what clients send. Bursts of two seconds' worth are allowed.
type Rate struct {
	Messages float64 // per second
	Bytes    float64 // per second
}

func (c Config) withDefaults() Config {
	number := func(p *int, fallback int) {
		if *p == 0 {
			*p = fallback
		}
	}
	number(&c.Systems, 16)
	number(&c.Rooms, 100)
	number(&c.Sessions, 100_000)
	number(&c.SessionsPerUser, 32)
	number(&c.MessageBytes, 64<<10)
	number(&c.OutboxBytes, 64<<10)
	number(&c.OutboxFrames, 1024)

	rate := func(p *Rate, fallback Rate) {
		if p.Messages == 0 {
			p.Messages = fallback.Messages
		}
		if p.Bytes == 0 {
			p.Bytes = fallback.Bytes
		}
	}
	rate(&c.SessionRate, Rate{50, 256 << 10})
	rate(&c.UserRate, Rate{200, 1 << 20})
	rate(&c.FailureRate, Rate{Messages: 5})

	span := func(p *time.Duration, fallback time.Duration) {
		if *p == 0 {
			*p = fallback
		}
	}
	span(&c.Stall, 20*time.Second)
	span(&c.Ping, 25*time.Second)
	span(&c.PongWait, 60*time.Second)
	span(&c.Idle, 25*time.Second)
	span(&c.Handshake, 10*time.Second)
	span(&c.Publish, 2*time.Second)
	span(&c.CloseWait, 5*time.Second)
	span(&c.Drain, 20*time.Second)
	span(&c.RetrySpan, 3*time.Second)
	return c
}

// Validate says everything that is wrong with the settings; zero values are
// right.
func (c Config) Validate() error {
	c = c.withDefaults()
	var faults []error
	for name, n := range map[string]int{
		"systems": c.Systems, "rooms": c.Rooms, "sessions": c.Sessions, "sessions_per_user": c.SessionsPerUser,
		"message_bytes": c.MessageBytes, "outbox_bytes": c.OutboxBytes, "outbox_frames": c.OutboxFrames,
	} {
		if n < 1 {
			faults = append(faults, fmt.Errorf("ws: %s: want at least 1, got %d", name, n))
		}
	}
	for name, r := range map[string]Rate{"session": c.SessionRate, "user": c.UserRate, "failure": c.FailureRate} {
		if r.Messages < 0 || r.Bytes < 0 {
			faults = append(faults, fmt.Errorf("ws: %s rate: must not be negative", name))
		}
	}
	for name, d := range map[string]time.Duration{
		"stall": c.Stall, "ping": c.Ping, "pong wait": c.PongWait, "idle": c.Idle, "handshake": c.Handshake,
		"publish": c.Publish, "close wait": c.CloseWait, "drain": c.Drain, "retry span": c.RetrySpan,
	} {
		if d < 0 {
			faults = append(faults, fmt.Errorf("ws: %s: must not be negative, got %v", name, d))
		}
	}
	if c.PongWait <= c.Ping {
		faults = append(faults, fmt.Errorf("ws: pong wait %v must be longer than the ping period %v", c.PongWait, c.Ping))
	}
	for _, o := range c.Origins {
		if u, err := url.Parse(o); o != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "") {
			faults = append(faults, fmt.Errorf("ws: origin %q: want scheme://host, or *", o))
		}
	}
	return errors.Join(faults...)
}
