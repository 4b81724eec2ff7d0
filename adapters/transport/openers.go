package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

// An Opener makes a [Driver] from a parsed URL. It checks every parameter with
// [dsn.Params], and does not wait for the broker: a bus that is down when a node
// starts is no reason not to start.
type Opener func(ctx context.Context, u *url.URL, log *slog.Logger) (Driver, error)

// ErrUnknownScheme is wrapped by the error of [Openers.Open] for a URL whose scheme no
// Opener has.
var ErrUnknownScheme = errors.New("unknown scheme")

// Openers are a program's Openers, by URL scheme.
type Openers map[string]Opener

// Open makes a Transport from a URL such as "redis://127.0.0.1:6379/0". An unknown
// scheme is refused with the list of those there are. No error shows a password.
func (o Openers) Open(ctx context.Context, rawURL string, cfg Config) (*Transport, error) {
	if strings.TrimSpace(rawURL) == "" {
		return nil, fmt.Errorf("transport: the URL is empty: use one of %s", o.schemes())
	}
	u, err := dsn.Parse(rawURL, o.schemes())
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	open, ok := o[u.Scheme]
	if !ok {
		return nil, fmt.Errorf("transport: %w %q: use one of %s", ErrUnknownScheme, u.Scheme, o.schemes())
	}
	d, err := open(ctx, u, cfg.withDefaults().Logger)
	if err != nil {
		return nil, fmt.Errorf("transport %s: %w", dsn.Place(u), dsn.RedactError(err, u))
	}
	return New(d, cfg), nil
}

// schemes lists the schemes for people to read.
func (o Openers) schemes() string {
	all := slices.Sorted(maps.Keys(o))
	for i := range all {
		all[i] += "://"
	}
	return strings.Join(all, ", ")
}
