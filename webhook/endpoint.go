package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/defaults"
)

// Defaults and bounds of an [Endpoint].
const (
	DefaultTimeout = 10 * time.Second
	DefaultMaxAge  = 24 * time.Hour

	MaxTimeout = 5 * time.Minute
	MaxMaxAge  = 30 * 24 * time.Hour
)

// An Endpoint is where deliveries go.
type Endpoint struct {
	// Name is what the endpoint is called in logs and metrics; its consumer group is
	// "fanfare-webhook-" and Name. It has the form of a system's name. With another
	// Name the endpoint gets everything again that the bus still has.
	Name string
	// URL takes the POST requests. It is http:// or https://.
	URL string
	// Secrets sign each delivery, one signature for each: 1 to 8, in the form whsec_
	// and base64 of 24 to 64 bytes. With the old and the new one, a secret can be
	// replaced while deliveries go on.
	Secrets []string
	// Systems are the systems whose deliveries the endpoint gets, 1 to 1,000.
	Systems []string
	// Events and Inbound say what the endpoint gets: events about users; what users
	// send. At least one is set.
	Events, Inbound bool
	// Timeout bounds one attempt. Default: DefaultTimeout.
	Timeout time.Duration
	// MaxAge is how old a delivery may be, counted from when it happened; an older
	// one is dropped. Default: DefaultMaxAge.
	MaxAge time.Duration
}

// group is the endpoint's consumer group.
func (e *Endpoint) group() string { return "fanfare-webhook-" + e.Name }

func (e *Endpoint) withDefaults() {
	defaults.Set(&e.Timeout, DefaultTimeout)
	defaults.Set(&e.MaxAge, DefaultMaxAge)
}

// Check returns everything that is wrong with the endpoint. No error shows the URL or a
// secret.
func (e *Endpoint) Check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if _, err := domain.ParseSystem(e.Name); err != nil {
		fault("name: want 1 to 64 of a-z, 0-9, _ and -")
	}
	if err := checkURL(e.URL); err != nil {
		fault("url: %w", err)
	}
	if n := len(e.Secrets); n < 1 || n > 8 {
		fault("secret: want 1 to 8, got %d", n)
	}
	for _, s := range e.Secrets {
		if err := checkSecret(s); err != nil {
			fault("secret: %w", err)
		}
	}
	if n := len(e.Systems); n < 1 || n > 1000 {
		fault("systems: want 1 to 1000, got %d", n)
	}
	for _, s := range e.Systems {
		if _, err := domain.ParseSystem(s); err != nil {
			fault("systems: %w", err)
		}
	}
	if !e.Events && !e.Inbound {
		fault("want events, inbound or both")
	}
	if e.Timeout < 0 || e.Timeout > MaxTimeout {
		fault("timeout: want more than 0 and at most %v", MaxTimeout)
	}
	if e.MaxAge < 0 || e.MaxAge > MaxMaxAge {
		fault("max_age: want more than 0 and at most %v", MaxMaxAge)
	}
	return errors.Join(faults...)
}

// checkURL leaves the URL out of its errors: there may be a password in it.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("want http://… or https://… with a host")
	}
	if u.Fragment != "" {
		return errors.New("it has a fragment (#…), which is not sent")
	}
	return nil
}

// secretPrefix begins a secret.
const secretPrefix = "whsec_"

func checkSecret(s string) error {
	encoded, ok := strings.CutPrefix(s, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return errors.New("want whsec_ and base64 of 24 to 64 random bytes, such as " +
			"whsec_$(openssl rand -base64 32)")
	}
	return nil
}
