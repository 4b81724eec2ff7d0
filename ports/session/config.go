package session

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/fanfarebus/fanfare/domain"
)

// Config holds what may differ between nodes. Its zero value is usable; New
// fills in the defaults named here.
type Config struct {
	Node string // this node's name, told in hello

	// Origins are the allowed origins ("https://app.example.com"), with a star
	// for what stands in front of the host ("https://*.example.com") or for the
	// port ("http://localhost:*"), or "*" for any. Empty means the host that was
	// asked, over a scheme that is as safe.
	Origins []string
	// QueryToken allows tokens in the URL's query, where logs may see them.
	QueryToken bool
	// Tokenless says who a client without a token is, or why it is refused. Nil
	// refuses all of them. It is for development.
	Tokenless func(*http.Request) (domain.Grant, error)
	// Proxies are the networks whose ProxyHeader is believed: X-Forwarded-For,
	// which is the default, another header of its form, or Forwarded.
	Proxies     []netip.Prefix
	ProxyHeader string

	Systems         int  // most systems of a session; default 16
	Rooms           int  // most rooms of a session; default 100
	Sessions        int  // most sessions of the node; default 100,000
	SessionsPerUser int  // most sessions of a user on the node; default 32
	FailureRate     Rate // wrong tokens of one address, Messages only; default 5/s

	Authenticate time.Duration // for a token to be checked; default 10 s
	Idle         time.Duration // between the places told to sessions that hear nothing; default 25 s
	Drain        time.Duration // over which Drain closes the sessions; default 20 s
	RetrySpan    time.Duration // goaway's retry delays are spread over it; default 3 s
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
	if c.ProxyHeader == "" {
		c.ProxyHeader = "X-Forwarded-For"
	}
	c.FailureRate = c.FailureRate.Or(Rate{Messages: 5})

	span := func(p *time.Duration, fallback time.Duration) {
		if *p == 0 {
			*p = fallback
		}
	}
	span(&c.Authenticate, 10*time.Second)
	span(&c.Idle, 25*time.Second)
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
	} {
		if n < 1 {
			faults = append(faults, fmt.Errorf("session: %s: want at least 1, got %d", name, n))
		}
	}
	if err := c.FailureRate.Check(); err != nil {
		faults = append(faults, fmt.Errorf("session: failure rate: %w", err))
	}
	for name, d := range map[string]time.Duration{
		"authenticate": c.Authenticate, "idle": c.Idle, "drain": c.Drain, "retry span": c.RetrySpan,
	} {
		if d < 0 {
			faults = append(faults, fmt.Errorf("session: %s: must not be negative, got %v", name, d))
		}
	}
	if _, err := parseOrigins(c.Origins); err != nil {
		faults = append(faults, fmt.Errorf("session: %w", err))
	}
	if err := CheckProxyHeader(c.ProxyHeader); err != nil {
		faults = append(faults, fmt.Errorf("session: %w", err))
	}
	return errors.Join(faults...)
}
