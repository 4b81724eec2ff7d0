package memory

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/adapters/transport/dsn"
)

var _ transport.Opener = Open

// Openers names this driver's URL scheme, memory://, for publisher.New and
// fanfare.WithOpeners.
func Openers() transport.Openers { return transport.Openers{"memory": Open} }

// Open makes a new bus from a URL, memory:// or memory://name. Two calls with
// the same name make two buses; the name is only for people. The URL's
// parameters are retention (a duration such as 1h), bytes and messages. They are
// the fields of [Config]; without messages there is no bound on their number.
func Open(_ context.Context, u *url.URL, _ *slog.Logger) (transport.Driver, error) {
	p := dsn.NewParams(u)
	cfg := Config{
		Retention: p.Duration("retention", DefaultRetention, time.Millisecond),
		Messages:  p.IntTo("messages", 0, 1, 1<<30),
		Bytes:     p.IntTo("bytes", DefaultBytes, 1024, 1<<40),
	}
	err := p.Err()
	if u.User != nil || u.Opaque != "" || u.Port() != "" || u.Path != "" && u.Path != "/" {
		err = errors.Join(errors.New("memory: want memory:// or memory://name, and parameters"), err)
	}
	if err != nil {
		return nil, err
	}
	return New(cfg), nil
}
