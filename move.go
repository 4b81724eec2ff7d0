package fanfare

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fanfarebus/fanfare/adapters/move"
	"github.com/fanfarebus/fanfare/adapters/transport"
	"github.com/fanfarebus/fanfare/domain"
)

// Errors of a move.
var (
	ErrForeign = move.ErrForeign // the new bus carries something that is no copy
	ErrMoved   = move.ErrMoved   // the new bus has taken over already
)

// A Relocation moves systems from one bus to another while both are in use:
// docs/moving.md tells how. Both buses must keep logs.
type Relocation struct {
	From, To string   // the buses, as URLs
	Systems  []string // those that are moved
	Topic    string   // template of topic names; default fanfare.{system}
}

// moveTimeout is how long one publish of a move may take.
const moveTimeout = 5 * time.Second

// Bridge copies the systems' messages from the old bus to the new one, in
// order, until ctx ends; then it returns nil. It can be stopped and started
// again anywhere; its checkpoint is on the new bus. While a bus is down it
// waits. It ends with ErrForeign if the new bus carries anything else before it
// has taken over.
func (r Relocation) Bridge(ctx context.Context, opts ...Option) error {
	return r.with(ctx, opts, func(from, to *transport.Transport, topics []string, o options) error {
		b, err := move.NewBridge(from, to, move.BridgeConfig{Log: o.log})
		if err != nil {
			return err
		}
		return b.Run(ctx, topics...)
	})
}

// Move lets the new bus take over, system by system, and calls moved with each
// as soon as it has; a system that was moved before counts as such. A Bridge
// must run. It is bounded by ctx, and a system for which it fails before the old
// bus was told to end stays where it is.
func (r Relocation) Move(ctx context.Context, moved func(system string), opts ...Option) error {
	return r.with(ctx, opts, func(from, to *transport.Transport, topics []string, _ options) error {
		for i, topic := range topics {
			if err := move.Leave(ctx, from, to, topic); err != nil && !errors.Is(err, ErrMoved) {
				return err
			}
			moved(r.Systems[i])
		}
		return nil
	})
}

// with opens both buses for the time of a call.
func (r Relocation) with(ctx context.Context, opts []Option, do func(from, to *transport.Transport, topics []string, o options) error) error {
	o := newOptions(opts)
	topics, err := r.topics()
	if err != nil {
		return err
	}
	tc := transport.Config{PublishTimeout: moveTimeout, NoStamps: true, Log: o.log}
	from, to, err := openBoth(ctx, r.From, r.To, tc, o)
	if err != nil {
		return err
	}
	return errors.Join(do(from, to, topics, o), from.Close(), to.Close())
}

func (r Relocation) topics() (all []string, err error) {
	template := r.Topic
	fill(&template, DefaultConfig().Topic)
	topics, err := domain.ParseTopics(template)
	if err != nil {
		return nil, err
	}
	if len(r.Systems) == 0 {
		return nil, fmt.Errorf("systems: name those that are to be moved: %w", domain.ErrInvalid)
	}
	for _, name := range r.Systems {
		s, err := domain.ParseSystem(name)
		if err != nil {
			return nil, domain.At("systems", err)
		}
		all = append(all, topics.Topic(s))
	}
	return all, nil
}
