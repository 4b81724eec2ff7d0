package session

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/defaults"
)

// The defaults of [Config].
const (
	DefaultProxyHeader     = "X-Forwarded-For"
	DefaultSystems         = 16
	DefaultRooms           = 100
	DefaultMembers         = 1000
	DefaultSessions        = 100_000
	DefaultSessionsPerUser = 32
	DefaultFailureRate     = 5 // wrong tokens a second
	DefaultAuthenticate    = 10 * time.Second
	DefaultIdle            = 25 * time.Second
	DefaultDrain           = 20 * time.Second
	DefaultGrace           = 5 * time.Second
	DefaultRetrySpan       = 3 * time.Second
)

// Config holds what may differ between nodes. Its zero value is usable: [New]
// gives every field that is zero its default.
type Config struct {
	Node string // this node's name, which hello tells the client

	// Origins are the allowed origins ("https://app.example.com"), with a star
	// for what stands in front of the host ("https://*.example.com") or for the
	// port ("http://localhost:*"), or "*" for any. If empty, only pages of the
	// host that was asked are allowed, over a scheme that is as safe.
	Origins []string
	// QueryToken and Login are those of the [Identity] that the registry begins with.
	QueryToken bool
	Login      func(Login) (domain.Grant, error)
	// Tokenless says who a client without a token is, or why it is refused. Nil
	// refuses all of them. It is for development.
	Tokenless func(*http.Request) (domain.Grant, error)
	// Proxies are the networks of the proxies whose ProxyHeader is believed:
	// X-Forwarded-For, which is the default, another header of its form, or
	// Forwarded (RFC 7239).
	Proxies     []netip.Prefix
	ProxyHeader string

	// Control is the control plane; nil if it is off.
	Control Control
	// History finds where the last messages begin that a client asks for; nil: it gets none.
	History History
	// Presence says for which systems Control keeps who is there; nil for none.
	Presence func(domain.System) bool
	// Members is the most users in a place whom clients that watch it are told by name.
	// Of more, they are told how many there are.
	Members int

	Systems         int  // most systems of a session
	Rooms           int  // most rooms of a session
	Sessions        int  // most sessions of the node
	SessionsPerUser int  // most sessions of a user on the node
	FailureRate     Rate // most wrong tokens of one address; only Messages counts

	Authenticate time.Duration // most time to check a token or a login
	Idle         time.Duration // between the cursors sent to a session that hears nothing
	Drain        time.Duration // over which Drain closes the sessions
	Grace        time.Duration // for a client that is asked to go; at most half of Drain counts
	RetrySpan    time.Duration // over which clients that are asked to go come back at least
}

func (c Config) withDefaults() Config {
	defaults.Set(&c.ProxyHeader, DefaultProxyHeader)
	defaults.Set(&c.Systems, DefaultSystems)
	defaults.Set(&c.Rooms, DefaultRooms)
	defaults.Set(&c.Members, DefaultMembers)
	if c.Control == nil {
		c.Control = noControl{}
	}
	if c.History == nil {
		c.History = noHistory{}
	}
	if c.Presence == nil {
		c.Presence = func(domain.System) bool { return false }
	}
	defaults.Set(&c.Sessions, DefaultSessions)
	defaults.Set(&c.SessionsPerUser, DefaultSessionsPerUser)
	defaults.Set(&c.FailureRate.Messages, DefaultFailureRate)
	defaults.Set(&c.Authenticate, DefaultAuthenticate)
	defaults.Set(&c.Idle, DefaultIdle)
	defaults.Set(&c.Drain, DefaultDrain)
	defaults.Set(&c.Grace, DefaultGrace)
	defaults.Set(&c.RetrySpan, DefaultRetrySpan)
	return c
}

// Validate returns an error that names everything that is wrong with the
// settings. Zero values are right, since they stand for the defaults.
func (c Config) Validate() error {
	var faults []error
	for name, n := range map[string]int{
		"systems": c.Systems, "rooms": c.Rooms, "sessions": c.Sessions,
		"sessions_per_user": c.SessionsPerUser, "members": c.Members,
	} {
		if n < 0 {
			faults = append(faults, fmt.Errorf("session: %s: want at least 1, got %d", name, n))
		}
	}
	if err := c.FailureRate.Check(); err != nil {
		faults = append(faults, fmt.Errorf("session: failure rate: %w", err))
	}
	for name, d := range map[string]time.Duration{
		"authenticate": c.Authenticate, "idle": c.Idle, "drain": c.Drain, "grace": c.Grace,
		"retry span": c.RetrySpan,
	} {
		if d < 0 {
			err := fmt.Errorf("session: %s: must not be negative, got %v", name, d)
			faults = append(faults, err)
		}
	}
	if _, err := parseOrigins(c.Origins); err != nil {
		faults = append(faults, fmt.Errorf("session: %w", err))
	}
	if err := CheckProxyHeader(c.withDefaults().ProxyHeader); err != nil {
		faults = append(faults, fmt.Errorf("session: %w", err))
	}
	return errors.Join(faults...)
}
