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

// Open makes a bus from a URL, memory:// or memory://name: a bus of its own
// each time, the name is for people. Parameters: retention (a duration, 1h),
// messages (100000) and bytes (67108864), the most that each topic keeps.
func Open(_ context.Context, u *url.URL, _ *slog.Logger) (transport.Driver, error) {
	p := dsn.NewParams(u)
	fallback := Config{}.withDefaults()
	cfg := Config{
		Retention: p.Duration("retention", fallback.Retention, time.Millisecond),
		Messages:  p.IntTo("messages", fallback.Messages, 1, 1<<30),
		Bytes:     p.IntTo("bytes", fallback.Bytes, 1024, 1<<40),
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
