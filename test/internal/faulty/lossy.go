package faulty

import (
	"context"
	"strings"
	"time"

	"github.com/fanfarebus/fanfare/adapters/memory"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// A lossyDriver is the driver of a bus without a log. Faults.Loss applies to a
// publisher's messages only after the link has received one, since nobody could
// notice a loss before that.
type lossyDriver struct {
	*driver
	heard map[string]bool // publishers, by topic and the first part of their stamps; guarded by b.mu
}

func (d lossyDriver) Guarantees() transport.Guarantees { return transport.Guarantees{TotalOrder: true} }

func (d lossyDriver) Follow(ctx context.Context, topic string, _ domain.Position) (transport.Feed, error) {
	f, err := d.open(ctx, topic, func(bus *memory.Bus) (transport.Feed, error) { return bus.Follow(ctx, topic, "") })
	if err != nil {
		return nil, err
	}
	return lossyFeed{f, d.heard}, nil
}

// A lossyFeed removes positions, and loses some of the messages with stamps.
// Messages of other programs, which have no stamps, are lost only by interruptions
// and plans.
type lossyFeed struct {
	*feed
	heard map[string]bool
}

func (lossyFeed) Log() domain.LogID      { return 0 }
func (lossyFeed) Begin() domain.Position { return "" }

func (l lossyFeed) Read(ctx context.Context) ([]domain.Entry, error) {
	for {
		batch, err := l.feed.Read(ctx)
		if err != nil {
			return nil, err
		}
		if kept := l.lose(batch); len(kept) > 0 {
			return kept, nil
		}
	}
}

func (l lossyFeed) lose(batch []domain.Entry) []domain.Entry {
	b := l.link.b
	kept := batch[:0]
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range batch {
		if who, stamped := publisher(e.Body); stamped {
			who = l.topic + who
			if b.faults.Loss > 0 && l.heard[who] && b.cfg.Rand.Float64() < b.faults.Loss {
				continue
			}
			l.heard[who] = true
		}
		e.Position, e.Time, e.UUID, e.Header = "", time.Time{}, "", nil
		kept = append(kept, e)
	}
	return kept
}

// publisher returns the publisher that a payload's stamp names.
func publisher(body []byte) (who string, stamped bool) {
	rest, stamped := strings.CutPrefix(string(body), `{"stamp":"`)
	if !stamped {
		return "", false
	}
	who, _, stamped = strings.Cut(rest, ":")
	return who, stamped
}
