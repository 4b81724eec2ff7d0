package migrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// ErrNotACopy says that a new bus already carries something that is no copy:
// a publisher has moved too early, or the topic is not empty.
var ErrNotACopy = errors.New("the new bus carries something that was not copied from the old one")

// BridgeConfig tunes a Bridge. The zero BridgeConfig is good.
type BridgeConfig struct {
	RetryMin  time.Duration // first pause after a failure, doubled each time; default 100 ms
	RetryMax  time.Duration // longest pause; default 5 s
	HereEvery time.Duration // how often the new bus is told that it has taken over; default 1 min
	CheckEach time.Duration // how often the new bus is searched for what is no copy; default 5 s
	Logger    *slog.Logger  // default: discard
}

func (c BridgeConfig) withDefaults() BridgeConfig {
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{{&c.RetryMin, 100 * time.Millisecond}, {&c.RetryMax, 5 * time.Second}, {&c.HereEvery, time.Minute}, {&c.CheckEach, 5 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	c.RetryMax = max(c.RetryMax, c.RetryMin)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// A Bridge copies topics from an old bus to a new one, in order, beginning with
// the oldest entry that the old one still holds. Its checkpoint is the new bus
// itself: it goes on behind the last copy there, so it can be stopped and
// started anywhere, and what is copied twice is recognised as such. Run one at a
// time all the same.
type Bridge struct {
	from, to *transport.Transport
	cfg      BridgeConfig

	mu     sync.Mutex
	copied map[string]*copier // by topic; guarded by mu
}

// NewBridge makes a Bridge between two buses, which remain the caller's. Both
// must keep logs.
func NewBridge(from, to *transport.Transport, cfg BridgeConfig) (*Bridge, error) {
	if !from.Guarantees().Log || !to.Guarantees().Log {
		return nil, fmt.Errorf("move: both buses must keep a log: %w", domain.ErrUnsupported)
	}
	return &Bridge{from: from, to: to, cfg: cfg.withDefaults(), copied: make(map[string]*copier)}, nil
}

// Run copies the topics until ctx ends, and returns nil then. While a bus is
// down it waits. It gives up with ErrNotACopy, before anything is lost: what must
// not be on the new bus yet would never reach those who still read the old one.
func (b *Bridge) Run(ctx context.Context, topics ...string) error {
	work, ctx := errgroup.WithContext(ctx)
	for _, name := range topics {
		if err := errors.Join(b.from.CheckTopic(name), b.to.CheckTopic(name)); err != nil {
			return fmt.Errorf("move: %w", err)
		}
		c := &copier{b: b, name: name, log: b.cfg.Logger.With("topic", name)}
		b.mu.Lock()
		b.copied[name] = c
		b.mu.Unlock()
		work.Go(func() error { return c.run(ctx) })
	}
	return work.Wait()
}

// Progress is how far a topic was copied.
type Progress struct {
	Copied uint64 // entries, since Run began
	Unfit  uint64 // of these, not fit for the new bus: a gap stands in their place
	Moved  bool   // the mark was copied: the new bus has its turn
}

// Progress returns how far each topic is. The map is the caller's.
func (b *Bridge) Progress() map[string]Progress {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[string]Progress, len(b.copied))
	for name, c := range b.copied {
		all[name] = Progress{Copied: c.copied.Load(), Unfit: c.unfit.Load(), Moved: c.moved.Load()}
	}
	return all
}
