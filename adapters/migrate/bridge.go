package migrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
	"github.com/fanfarebus/fanfare/internal/defaults"
	"github.com/fanfarebus/fanfare/internal/pause"
)

// ErrNotACopy means that the new bus holds something that was not copied from
// the old one, although it has not taken over yet. Either a publisher has moved
// too early, or the topic was not empty.
var ErrNotACopy = errors.New("the new bus carries something that was not copied from the old one")

// BridgeConfig tunes a [Bridge]. The zero BridgeConfig has the defaults.
type BridgeConfig struct {
	RetryMin time.Duration // first pause after a failure, doubled each time; default 100 ms
	RetryMax time.Duration // longest pause; default 5 s
	// AnnounceEvery is how often the Bridge writes to the new bus that it has
	// taken over, and how far it is copied. It counts from the move on. Default:
	// 1 min.
	AnnounceEvery time.Duration
	// CheckEvery is how often, until the move, the Bridge searches the new bus
	// for entries that are no copies. Default: 5 s.
	CheckEvery time.Duration
	Logger     *slog.Logger // default: discard
}

func (c BridgeConfig) withDefaults() BridgeConfig {
	defaults.Set(&c.RetryMin, 100*time.Millisecond)
	defaults.Set(&c.RetryMax, 5*time.Second)
	defaults.Set(&c.AnnounceEvery, time.Minute)
	defaults.Set(&c.CheckEvery, 5*time.Second)
	c.RetryMax = max(c.RetryMax, c.RetryMin)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// A Bridge copies topics from an old bus to a new one, in their order, beginning
// with the oldest entry that the old bus still holds.
//
// Its only checkpoint is the new bus: it continues after the last copy there, so
// it may be stopped, killed and started again on any machine. If two Bridges run
// at once, both copy, and readers recognise the second copy of an entry; this is
// safe, but does the work twice.
type Bridge struct {
	from, to *transport.Transport
	cfg      BridgeConfig
}

// NewBridge makes a Bridge from one bus to another. Both must keep logs, else
// the error is a [domain.ErrUnsupported]. The caller closes them after Run has
// returned.
func NewBridge(from, to *transport.Transport, cfg BridgeConfig) (*Bridge, error) {
	if !from.Guarantees().Log || !to.Guarantees().Log {
		return nil, fmt.Errorf("move: both buses must keep a log: %w", domain.ErrUnsupported)
	}
	return &Bridge{from: from, to: to, cfg: cfg.withDefaults()}, nil
}

// Run copies the topics until ctx ends, and then returns nil. While a bus is
// down it keeps trying. It returns [ErrNotACopy] if the new bus holds something
// else before it has taken over: nodes that still read the old bus would never
// receive that.
func (b *Bridge) Run(ctx context.Context, topics ...string) error {
	for _, topic := range topics {
		if err := errors.Join(b.from.CheckTopic(topic), b.to.CheckTopic(topic)); err != nil {
			return fmt.Errorf("move: %w", err)
		}
	}
	work, ctx := errgroup.WithContext(ctx)
	for _, topic := range topics {
		c := &copier{
			bridge: b, topic: topic, log: b.cfg.Logger.With("topic", topic),
			backoff: pause.Backoff{Min: b.cfg.RetryMin, Max: b.cfg.RetryMax},
		}
		work.Go(func() error { return c.run(ctx) })
	}
	return work.Wait()
}
